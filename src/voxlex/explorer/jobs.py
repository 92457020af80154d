"""Answers about long jobs: start one, see how far it is, take its images, cancel it."""

from typing import Any

import torch

from voxlex.errors import RunError
from voxlex.explorer.drawing import Neighbours, draw_region, draw_samples
from voxlex.explorer.exhibit import Exhibit, UnknownError, as_uint16
from voxlex.explorer.lanes import Job
from voxlex.explorer.replies import Binary, Question
from voxlex.explorer.requests import RegionRequest, SampleRequest, parsed
from voxlex.explorer.words import Usual, usual_words
from voxlex.vocabulary import Vocabulary

_MOST_VOLUMES = 8


def sample(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Start to draw new images."""
    request = parsed(SampleRequest, question.body)
    vocabulary = exhibit.loaded()
    if vocabulary.prior is None:
        raise RunError("the run has no prior, which draws new images; train it with --stage prior --resume")
    vocabulary.check_decoding(request.decoding or "faithful")
    if len(vocabulary.space) == 3 and request.count > _MOST_VOLUMES:
        raise ValueError(f"count: expected at most {_MOST_VOLUMES} volumes at a time, got {request.count}")
    if request.condition:
        vocabulary.conditions.encode({name: [value] for name, value in request.condition.items()})

    def work(job: Job) -> None:
        draw_samples(job, vocabulary, request, _neighbours(exhibit), _usual(exhibit, vocabulary))

    return _shown(exhibit.jobs.start("sample", request.model_dump(), work, client=question.client))


def region(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Start to draw a region of a scan anew."""
    request = parsed(RegionRequest, question.body)
    vocabulary, images = exhibit.loaded(), exhibit.images()
    if vocabulary.prior is None:
        raise RunError("the run has no prior, which draws regions; train it with --stage prior --resume")
    exhibit.row(str(request.row))
    request.pixels(images.images.shape[2:])

    def work(job: Job) -> None:
        draw_region(job, vocabulary, images, request)

    return _shown(exhibit.jobs.start("region", request.model_dump(), work, client=question.client))


def every(exhibit: Exhibit, question: Question) -> list[Any]:
    """Return all jobs that are kept, the newest first."""
    return [_shown(job) for job in exhibit.jobs.all()]


def one(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return how far a job is, and all that was asked for."""
    job = job_of(exhibit, question)
    return _shown(job) | {"request": job.request}


def cancel(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Stop a job; what it has made is kept."""
    job = job_of(exhibit, question)
    exhibit.jobs.cancel(job.number)
    return _shown(job)


def discard(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Stop a job and forget what it has made."""
    job = job_of(exhibit, question)
    exhibit.jobs.discard(job.number)
    return _shown(job)


def image(exhibit: Exhibit, question: Question) -> Binary:
    """Return an image that a job has drawn, uint16; of a volume its middle plane."""
    x = drawn_by(job_of(exhibit, question), question)["image"]
    return Binary(as_uint16(x if x.ndim == 3 else x[:, x.shape[1] // 2]), kept=True)


def sketch(exhibit: Exhibit, question: Question) -> Binary:
    """Return the image that a job is drawing, as far as it is, uint16; nothing if there is none just now."""
    found = job_of(exhibit, question).sketch
    if found is None:
        return Binary(b"")
    x = found.image()
    shown = as_uint16(x if x.ndim == 3 else x[:, x.shape[1] // 2])
    return Binary(shown, figures={"seed": found.seed, "step": found.step})


def job_of(exhibit: Exhibit, question: Question) -> Job:
    """Return the job that an address names.

    Raises:
        UnknownError: If there is no such job.
    """
    text = question.path["number"]
    job = exhibit.jobs.get(int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else None
    if job is None:
        raise UnknownError("there is no such job any more")
    return job


def drawn_by(job: Job, question: Question) -> dict[str, Any]:
    """Return one of the results of a job.

    Raises:
        UnknownError: If there is no such result.
    """
    text = question.path["index"]
    if not text.isascii() or not text.isdecimal() or len(text) > 4 or int(text) >= len(job.result):
        raise UnknownError("there is no such image")
    return job.result[int(text)]


def _shown(job: Job) -> dict[str, Any]:
    """Describe a job, without the mask that was asked for: it is long, and pages ask several times a second."""
    sketch = job.sketch
    return {
        "number": job.number,
        "kind": job.kind,
        "request": {name: value for name, value in job.request.items() if name != "mask"},
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "error": job.error,
        "sketch": None if sketch is None else {"seed": sketch.seed, "step": sketch.step},
        "results": [{name: value for name, value in found.items() if name != "image"} for found in job.result],
    }


def _neighbours(exhibit: Exhibit) -> Neighbours | None:
    """Return the index of the training images, made when it is needed first. Jobs call this one after another."""
    if exhibit.neighbours is None and exhibit.dataset is not None:
        exhibit.neighbours = Neighbours(exhibit.dataset)
    return exhibit.neighbours


def _usual(exhibit: Exhibit, vocabulary: Vocabulary) -> Usual:
    """Return the codes that stand in for those that are not drawn yet: the usual ones, as soon as they are known."""
    survey = exhibit.survey
    if exhibit.vocabulary is vocabulary and survey is not None and survey.layouts == vocabulary.layouts:
        return usual_words(survey)
    return tuple(torch.zeros(layout.num_codebooks, dtype=torch.int64) for layout in vocabulary.layouts)
