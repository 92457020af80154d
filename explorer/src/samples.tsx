/** View 4: new images from the prior, with their nearest training images. */

import { useEffect, useState } from "preact/hooks";
import { getFigured, isAbort, save, wordsOf, type Job, type Run } from "./api";
import { WHOLE, greyImage } from "./colours";
import { Running, SeedAndCount, drawnBy, isOver, useJobs } from "./jobs";
import { Picture } from "./picture";
import { change, href, parsedNumber, type Route } from "./route";
import type { Scans } from "./scans";
import { Grey, Problem, Slider, titleOf } from "./ui";

export function Samples({ run, scans, route }: { run: Run; scans: Scans | null; route: Route }) {
  const params = route.params;
  const { jobs, start, cancel, discard } = useJobs("sample");
  const [problem, setProblem] = useState("");
  const number = (name: string, otherwise: number) => parsedNumber(params.get(name), otherwise);
  const [temperature, topP, guidance] = [number("temperature", 1), number("top_p", 1), number("guidance", 1)];
  const [seed, many] = [number("seed", 0), number("count", 4)];
  const conditions = run.conditions ?? [];
  const wanted = Object.fromEntries(conditions.map(({ name }) => [name, params.get(`is-${name}`) ?? ""]).filter(([, value]) => value !== ""));
  const running = jobs?.find((job) => !isOver(job));

  const draw = () =>
    start("/api/sample", {
      count: many,
      seed,
      temperature,
      top_p: topP < 1 ? topP : null,
      guidance,
      condition: wanted,
      decoding: params.get("decoding") || null,
    }).then(
      () => (setProblem(""), change({ seed: seed + many })),
      (error) => setProblem(wordsOf(error)),
    );
  return (
    <div class="scan flipped">
      <aside class="side" aria-label="What to draw">
        <h1>New images</h1>
        <form
          class="controls"
          onSubmit={(event) => {
            event.preventDefault();
            void draw();
          }}
        >
          {conditions.map((condition) => (
            <label key={condition.name} class="stacked">
              <span>{titleOf(condition.name)}</span>
              {condition.values ? (
                <select value={params.get(`is-${condition.name}`) ?? ""} onChange={(event) => change({ [`is-${condition.name}`]: event.currentTarget.value })}>
                  <option value="">any</option>
                  {condition.values.map((value) => (
                    <option key={value}>{value}</option>
                  ))}
                </select>
              ) : (
                <input
                  type="number"
                  step="any"
                  min={condition.low}
                  max={condition.high}
                  placeholder={`any, ${condition.low} to ${condition.high}`}
                  value={params.get(`is-${condition.name}`) ?? ""}
                  onChange={(event) => change({ [`is-${condition.name}`]: event.currentTarget.value })}
                />
              )}
            </label>
          ))}
          <Slider label="Temperature" value={temperature} low={0.1} high={2} step={0.05} text={temperature.toFixed(2)} onInput={(value) => change({ temperature: value === 1 ? "" : value })} />
          <Slider label="Top-p" value={topP} low={0.05} high={1} step={0.01} text={topP.toFixed(2)} onInput={(value) => change({ top_p: value === 1 ? "" : value })} />
          {conditions.length > 0 && (
            <Slider label="Guidance" value={guidance} low={0} high={5} step={0.1} text={guidance.toFixed(1)} onInput={(value) => change({ guidance: value === 1 ? "" : value })} />
          )}
          <div class="line">
            <SeedAndCount seed={seed} count={many} title="Images" most={64} />
            {run.texture && (
              <label class="stacked">
                <span>Decoding</span>
                <select value={params.get("decoding") ?? ""} onChange={(event) => change({ decoding: event.currentTarget.value })}>
                  <option value="">textured</option>
                  <option value="faithful">faithful</option>
                </select>
              </label>
            )}
          </div>
          <button class="primary" type="submit">
            Draw {many === 1 ? "an image" : `${many} images`}
          </button>
        </form>
        {problem && <Problem>{problem}</Problem>}
        {running && <Running job={running} label="Drawing new images" cancel={cancel} />}
        <p class="hint">
          Image i has the seed “seed + i”, so each can be drawn again: voxlex sample --count 1 --seed N. Beside each image stands the training image that is most like it. The distance
          is 0 for the same picture and 1 for nothing in common. These are images of a model, not of people.
        </p>
      </aside>
      <div class="work scrolling" tabIndex={0} role="region" aria-label="New images">
        {jobs?.length === 0 && <div class="waiting">Nothing is drawn yet.</div>}
        {jobs?.map((job) => (
          <section key={job.number} class="batch" aria-label={`Images from seed ${String(job.request.seed)}`}>
            <header class="line">
              <h2>{describe(job)}</h2>
              {job.state === "cancelled" && <span class="dim">cancelled</span>}
              {job.error && <Problem>{job.error}</Problem>}
              {isOver(job) && (
                <button type="button" onClick={() => discard(job)}>
                  Discard
                </button>
              )}
            </header>
            <ul class="drawn">
              {job.results.map((_, index) => (
                <Drawn key={index} {...{ run, scans, job, index }} tell={setProblem} />
              ))}
              {job.state === "running" && job.results.length < Number(job.request.count) && <Drawing key={job.results.length} {...{ run, job }} />}
            </ul>
          </section>
        ))}
      </div>
    </div>
  );
}

function describe({ request }: Job): string {
  const condition = Object.entries((request.condition ?? {}) as Record<string, string>).map(([name, value]) => `${name} ${value}`);
  const parts = [`seed ${String(request.seed)}`, ...condition, `temperature ${String(request.temperature)}`];
  if (request.top_p !== null) parts.push(`top-p ${String(request.top_p)}`);
  if (request.guidance !== 1 && condition.length) parts.push(`guidance ${String(request.guidance)}`);
  return parts.join(" · ");
}

const LOOK_MS = 250; // between two looks at what is being drawn
const LOOK_AT_VOLUME_MS = 2000;

/** The image that is being drawn, as far as it is. It is asked for anew when the last answer has come. */
function Drawing({ run, job }: { run: Run; job: Job }) {
  const [image, setImage] = useState<ImageData | null>(null);
  const seed = Number(job.request.seed) + job.results.length;
  useEffect(() => {
    const controller = new AbortController();
    let timer = 0;
    const look = async () => {
      try {
        const { bytes, figures } = await getFigured(`/api/jobs/${job.number}/sketch`, controller.signal);
        if (bytes.byteLength && figures.seed === seed) setImage(greyImage(new Uint16Array(bytes), run.space![run.space!.length - 1], WHOLE));
      } catch (error) {
        if (isAbort(error)) return; // other problems are told by the list of jobs, which is asked for as often
      }
      if (!controller.signal.aborted) timer = window.setTimeout(look, run.space!.length === 3 ? LOOK_AT_VOLUME_MS : LOOK_MS);
    };
    void look();
    return () => (controller.abort(), clearTimeout(timer));
  }, [job.number, seed]);
  return (
    <li class="new drawing">
      {image ? <Picture image={image} title={`The image of seed ${seed}, as far as it is drawn`} class="grey smooth" /> : <div class="grey blank" />}
      <div class="beside">
        <span>Seed {seed}</span>
        <span class="dim">being drawn</span>
      </div>
    </li>
  );
}

function Drawn({ run, scans, job, index, tell }: { run: Run; scans: Scans | null; job: Job; index: number; tell: (problem: string) => void }) {
  const result = job.results[index];
  const [image, setImage] = useState<ImageData | null>(null);
  const [, redraw] = useState(0);
  useEffect(() => {
    let over = false;
    drawnBy(run, job, index).then(
      (pixels) => over || setImage(greyImage(pixels, run.space![run.space!.length - 1], WHOLE)),
      (error) => over || tell(wordsOf(error)),
    );
    return () => void (over = true);
  }, [job.number, index, run.version]);
  useEffect(() => scans?.listen(() => redraw((before) => before + 1)), [scans]);
  const near = result.row !== undefined && scans ? scans.thumb(result.row) : null;
  return (
    <li class="new">
      {image ? <Picture image={image} title={`New image of seed ${result.seed}`} class="grey smooth" /> : <div class="grey blank" />}
      <div class="beside">
        <span>Seed {result.seed}</span>
        {result.row !== undefined && scans && (
          <a href={href("scan", result.row)} title={`Nearest training image: ${scans.name(result.row)}`}>
            {near && <Grey pixels={near} width={scans.table.thumb.side} title={`Nearest training image, ${scans.name(result.row)}`} class="grey smooth" />}
            <span class={result.copy ? "copy" : "dim"}>
              {result.copy ? "a near copy: " : "nearest "}
              {result.distance!.toFixed(2)}
            </span>
          </a>
        )}
        <button type="button" onClick={() => save(`/api/jobs/${job.number}/image/${index}/file`).then(() => tell(""), (error) => tell(wordsOf(error)))}>
          Save
        </button>
        {run.space!.length === 3 && (
          <a class="button" href={href("volume", `job-${job.number}-${index}`)}>
            Open
          </a>
        )}
      </div>
    </li>
  );
}
