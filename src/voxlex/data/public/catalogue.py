"""Public sets of brain scans: their addresses, sizes and terms.

A checksum is listed only if the publisher, or another project that downloads the set, has recorded one. A comment says
who recorded it. Without a checksum, the first download is trusted, and its hash is kept beside the data (see
`fetching`).
"""

from dataclasses import dataclass

from voxlex.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file of a set.

    Attributes:
        url: Address of the file.
        size: Size in bytes. If the publisher gives a rounded size, it is accurate to a few percent.
        checksum: Checksum such as "md5:…" or "sha256:…", or None if nobody has recorded one.
    """

    url: str
    size: int
    checksum: str | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A set of brain scans that anyone may download after accepting its terms.

    Attributes:
        title: What the set holds, in one line.
        homepage: Address of a page about the set.
        licence: Name of the licence.
        licence_url: Address of the licence.
        terms: Main terms of the licence, in one line.
        citation: What to cite when using the set.
        archives: The files of the set.
        hint: What to know before using the set, in one line.
    """

    title: str
    homepage: str
    licence: str
    licence_url: str
    terms: str
    citation: str
    archives: tuple[Archive, ...]
    hint: str = ""

    @property
    def size(self) -> int:
        """The number of bytes to download."""
        return sum(archive.size for archive in self.archives)


_OASIS_TERMS = {
    "licence": "OASIS Data Use Agreement",
    "licence_url": "https://www.oasis-brains.org/#access",
    "terms": "Among others: do not try to identify participants; acknowledge OASIS and its grants in publications.",
}
_OASIS_CITATION = (
    "OASIS-1: Cross-Sectional. D. Marcus, R. Buckner, J. Csernansky, J. Morris; P50 AG05681, P01 AG03991, "
    "P01 AG026276, R01 AG021910, P20 MH071616, U24 RR021382. doi:10.1162/jocn.2007.19.9.1498"
)
# The sizes are from the publisher's listing. The checksum of disc 1 is the one in MONAI's tutorials. The other discs
# have no published checksum.
_OASIS_DISC_SIZES = (
    1_380_527_970,
    1_403_357_161,
    1_343_992_875,
    1_333_582_060,
    1_362_916_370,
    1_364_560_560,
    1_390_914_852,
    1_332_341_152,
    1_292_937_504,
    1_294_865_012,
    1_247_923_584,
    1_473_055_117,
)
_OASIS_DISCS = tuple(
    Archive(
        url=f"https://download.nrg.wustl.edu/data/oasis_cross-sectional_disc{number}.tar.gz",
        size=size,
        checksum="md5:c83e216ef8654a7cc9e2a30a4cdbe0cc" if number == 1 else None,
    )
    for number, size in enumerate(_OASIS_DISC_SIZES, start=1)
)
_OASIS_HINT = "Ages and ratings: export the demographics of the homepage as CSV, and give it to data index --table."


def _oasis_discs(archives: tuple[Archive, ...], *, title: str) -> PublicSet:
    return PublicSet(
        title=title,
        homepage="https://sites.wustl.edu/oasisbrains/home/oasis-1/",
        citation=_OASIS_CITATION,
        archives=archives,
        hint=_OASIS_HINT,
        **_OASIS_TERMS,
    )


def _neurite(archive: Archive, *, title: str, hint: str) -> PublicSet:
    return PublicSet(
        title=title,
        homepage="https://github.com/adalca/medical-datasets/blob/master/neurite-oasis.md",
        citation=f"HyperMorph: Hoopes, Hoffmann, Fischl, Guttag, Dalca, arXiv:2101.01035; and {_OASIS_CITATION}",
        archives=(archive,),
        hint=hint,
        **_OASIS_TERMS,
    )


def _ixi(archive: Archive, *, title: str) -> PublicSet:
    return PublicSet(
        title=title,
        homepage="https://brain-development.org/ixi-dataset/",
        licence="CC BY-SA 3.0",
        licence_url="https://creativecommons.org/licenses/by-sa/3.0/legalcode",
        terms="Name the source, and share what you derive from the scans under the same licence.",
        citation="IXI – Information eXtraction from Images (EPSRC GR/S21533/02), brain-development.org",
        archives=(archive,),
        hint="Ages: save IXI.xls of the homepage as CSV, one row a subject, and give it to data index --table.",
    )


_NEURITE = "https://surfer.nmr.mgh.harvard.edu/ftp/data/neurite/data"
_IXI = "https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"

CATALOGUE: dict[str, PublicSet] = {
    # Projects that use neurite-oasis have recorded both checksums. The publisher gives only sizes.
    "neurite-oasis-2d": _neurite(
        Archive(
            url=f"{_NEURITE}/neurite-oasis.2d.v1.0.tar",
            size=24_000_000,
            checksum="md5:c9ae5864f250c7e4b8d83a104e51ae8e",
        ),
        title="OASIS-1, one aligned coronal slice of each of 414 people, T1, with label maps",
        hint="Index it with --sequence slice_norm, or the label maps count as images.",
    ),
    "neurite-oasis-3d": _neurite(
        Archive(
            url=f"{_NEURITE}/neurite-oasis.v1.0.tar",
            size=6_600_000_000,
            checksum="md5:081392a8150ff99ab7a64a9ded377835",
        ),
        title="OASIS-1, volumes of 414 people, T1, aligned and skull-stripped, with label maps",
        hint="Index it with --sequence aligned_norm, or the label maps count as images.",
    ),
    "oasis-1": _oasis_discs(_OASIS_DISCS, title="OASIS-1 cross-sectional, all 12 discs: 416 people of 18 to 96, T1"),
    "oasis-1-disc1": _oasis_discs(_OASIS_DISCS[:1], title="OASIS-1 cross-sectional, the first disc: 39 people, T1"),
    # The sizes are from the server, and the checksums from torchio, which downloads the same files.
    "ixi-t1": _ixi(
        Archive(url=f"{_IXI}/IXI-T1.tar", size=4_840_816_640, checksum="md5:34901a0593b41dd19c1a1f746eac2d58"),
        title="IXI, T1 volumes of 581 healthy people from three London hospitals",
    ),
    "ixi-t2": _ixi(
        Archive(url=f"{_IXI}/IXI-T2.tar", size=3_853_445_120, checksum="md5:e3140d78730ecdd32ba92da48c0a9aaa"),
        title="IXI, T2 volumes of 578 healthy people",
    ),
    "ixi-pd": _ixi(
        Archive(url=f"{_IXI}/IXI-PD.tar", size=4_068_966_400, checksum="md5:88ecd9d1fa33cb4a2278183b42ffd749"),
        title="IXI, proton-density volumes of 578 healthy people",
    ),
}
"""The sets by the names that `voxlex data fetch` accepts."""


def find_set(name: str) -> PublicSet:
    """Return the set of a given name.

    Raises:
        DataError: If the catalog has no set of that name.
    """
    if name not in CATALOGUE:
        raise DataError(f"public set: expected one of {', '.join(CATALOGUE)}, got {name}")
    return CATALOGUE[name]
