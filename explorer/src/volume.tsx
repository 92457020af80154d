/** View 6: a volume in three linked planes and a rendering, beside its reconstruction, or those of two runs. */

import { Niivue, SHOW_RENDER } from "@niivue/niivue";
import { useEffect, useRef, useState } from "preact/hooks";
import { getJson, wordsOf, type Measures, type Run } from "./api";
import { measuresLine } from "./measures";
import { change, href, type Route } from "./route";
import type { Scans } from "./scans";
import { Choice, Problem, Slider, shown, titleOf, useAsked } from "./ui";

const OVERLAYS = { none: "None", difference: "Difference", bits: "Bits" } as const;
type Overlay = keyof typeof OVERLAYS;

/** A volume that is shown: where it is, and what can be laid over it. */
type Shown = { title: string; address: string; overlay?: (kind: Overlay) => string };

function shownOf(run: Run, other: Run | null, row: number | null, drawn: RegExpExecArray | null): Shown[] {
  if (drawn) return [{ title: "New volume", address: `/api/jobs/${drawn[1]}/image/${drawn[2]}/file?show=1&v=${run.version}` }];
  const at = (base: string, version: string) => (kind: string) => `${base}/volume/${row}/${kind}.nii?v=${version}`;
  const [first, second] = [at("/api", run.version), at("/api/beside", other?.version ?? "")];
  if (!other)
    return [
      { title: "Original", address: first("original"), overlay: first },
      { title: "Reconstruction", address: first("reconstruction"), overlay: first },
    ];
  return [
    { title: "Original", address: first("original") },
    { title: `A: ${run.name}`, address: first("reconstruction"), overlay: first },
    { title: `B: ${other.name}`, address: second("reconstruction"), overlay: second },
  ];
}

export default function Volume({ run, scans, route }: { run: Run; scans: Scans | null; route: Route }) {
  const drawn = /^job-(\d+)-(\d+)$/.exec(route.part);
  const row = drawn ? null : Number(route.part);
  const other = route.view === "beside" && run.beside?.loaded ? run.beside : null;
  const all = shownOf(run, other, row, drawn);
  const overlay = ((route.params.get("overlay") ?? "none") in OVERLAYS ? (route.params.get("overlay") ?? "none") : "none") as Overlay;
  const [opacity, setOpacity] = useState(0.6);
  const [problem, setProblem] = useState("");
  const [place, setPlace] = useState("");
  const planes = useRef<HTMLDivElement>(null);
  const viewers = useRef<Niivue[]>([]);
  const [ready, setReady] = useState(0);

  useEffect(() => {
    let over = false;
    const made: Niivue[] = [];
    const open = async () => {
      for (const canvas of planes.current!.querySelectorAll("canvas")) {
        const viewer = new Niivue({
          backColor: [0, 0, 0, 1],
          crosshairColor: [0.37, 0.82, 0.77, 0.9],
          crosshairWidth: 0.2,
          show3Dcrosshair: true,
          multiplanarShowRender: SHOW_RENDER.ALWAYS,
          isRadiologicalConvention: true,
          loadingText: "",
          dragAndDropEnabled: false,
          isCornerOrientationText: true,
        });
        viewer.onLocationChange = (location) => setPlace(String((location as { string?: string }).string ?? ""));
        await viewer.attachToCanvas(canvas);
        viewer.setSliceType(viewer.sliceTypeMultiplanar);
        made.push(viewer);
      }
      if (over) return;
      await Promise.all(made.map((viewer, index) => viewer.loadVolumes([{ url: all[index].address, name: `${index}.nii`, colormap: "gray" }])));
      if (over) return;
      for (const viewer of made) viewer.broadcastTo(made.filter((one) => one !== viewer), { "2d": true, "3d": true });
      viewers.current = made;
      setProblem("");
      setReady((before) => before + 1);
    };
    open().catch((error) => over || setProblem(`The volume cannot be shown: ${wordsOf(error)}`));
    return () => {
      over = true;
      viewers.current = [];
      for (const viewer of made) viewer.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    };
  }, [route.part, run.version, other?.version]);

  useEffect(() => {
    let over = false;
    const lay = async () => {
      for (const [index, viewer] of viewers.current.entries()) {
        while (viewer.volumes.length > 1) viewer.removeVolume(viewer.volumes[viewer.volumes.length - 1]);
        const address = all[index].overlay?.(overlay);
        if (overlay === "none" || !address) continue;
        const range = overlay === "bits" ? { cal_min: 2, cal_max: 12 } : { cal_min: 0.02, cal_max: 0.2 };
        await viewer.addVolumeFromUrl({ url: address, name: `${overlay}.nii`, colormap: "inferno", opacity, ...range });
        if (over) return;
      }
    };
    lay().then(() => over || setProblem(""), (error) => over || setProblem(`The overlay cannot be shown: ${wordsOf(error)}`));
    return () => void (over = true);
  }, [overlay, ready, row]);
  useEffect(() => {
    for (const viewer of viewers.current) if (viewer.volumes.length > 1) viewer.setOpacity(1, opacity);
  }, [opacity]);

  const name = row === null ? `New volume ${Number(drawn![2]) + 1}` : (scans?.name(row) ?? "");
  const facts = row === null || !scans ? [] : (["split", "label", ...(other ? [] : ["ssim", "psnr_db", "bits"])] as const).map((key) => [key, scans.value(key, row)] as const).filter(([, value]) => value !== null);
  return (
    <div class="volume">
      <div class="tools line">
        <a class="button" href={row === null ? href("new") : "#/scans"}>
          {row === null ? "New images" : "All scans"}
        </a>
        <h1>{name}</h1>
        {row !== null && run.beside && (
          <a class="button" href={href(route.view === "beside" ? "scan" : "beside", row)}>
            {route.view === "beside" ? `${run.name} alone` : `Beside ${run.beside.name}`}
          </a>
        )}
        {facts.map(([key, value]) => (
          <span key={key} class="dim">
            {titleOf(key)} {typeof value === "number" ? shown(key, value) : value}
          </span>
        ))}
        {row !== null && (
          <>
            <Choice
              label="Overlay"
              value={overlay}
              options={(Object.keys(OVERLAYS) as Overlay[]).filter((key) => key !== "bits" || (run.prior && (!other || other.prior))).map((key) => ({ value: key, text: OVERLAYS[key] }))}
              onChange={(value) => change({ overlay: value === "none" ? "" : value })}
            />
            {overlay !== "none" && <Slider label="Strength" value={opacity} low={0} high={1} step={0.05} text={`${Math.round(100 * opacity)} %`} onInput={setOpacity} />}
          </>
        )}
      </div>
      {problem && <Problem>{problem}</Problem>}
      {route.view === "beside" && <Compared run={run} row={row} />}
      <div class={`planes of${all.length}`} ref={planes}>
        {all.map(({ title }) => (
          <figure key={title} class="pane">
            <canvas role="img" aria-label={`${title}: three planes and a rendering of ${name}`} />
            <figcaption class="corner left">{title}</figcaption>
          </figure>
        ))}
      </div>
      <div class="status">
        <span>{place || "Click in a plane to move all of them · scroll to go through slices · drag with the right button for the window"}</span>
      </div>
    </div>
  );
}

/** How well each of two runs keeps the volume. */
function Compared({ run, row }: { run: Run; row: number | null }) {
  const other = run.beside!;
  const ask = (base: string, one: Run) => useAsked<Measures>((signal) => getJson(`${base}/scan/${row}/measures`, signal), one.loaded && row !== null ? `${row}/${one.version}` : null);
  const found = [ask("/api", run), ask("/api/beside", other)];
  return (
    <div class="compared">
      {[run, other].map((one, index) => (
        <p key={index}>
          <b>
            {"AB"[index]}: {one.name}
          </b>{" "}
          {one.problems.run || found[index].error ? <span class="bad">{one.problems.run || found[index].error}</span> : found[index].found ? measuresLine(found[index].found) : "…"}
        </p>
      ))}
    </div>
  );
}
