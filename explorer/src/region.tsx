/** View 5: a region of a scan, painted, and drawn anew in several versions. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getBytes, getJson, save, unpacked, wordsOf, type Job, type Run } from "./api";
import { WHOLE, asCanvas, greyImage, heatImage, type Window } from "./colours";
import { Running, SeedAndCount, drawnBy, isOver, useJobs } from "./jobs";
import { Picture } from "./picture";
import { change, href, parsedNumber, type Route } from "./route";
import type { Scans } from "./scans";
import { FITTED, type View } from "./seen";
import { Stage, type Pane } from "./stage";
import { Choice, Problem, Scale, Slider, useAsked } from "./ui";

export function Region({ run, scans, route }: { run: Run; scans: Scans; route: Route }) {
  const row = Number(route.part);
  const params = route.params;
  const side = run.space![1];
  const mask = useRef(new Uint8Array(side * side));
  const undone = useRef<Uint8Array<ArrayBuffer>[]>([]);
  const [painted, setPainted] = useState(0);
  const [brush, setBrush] = useState(10);
  const [erasing, setErasing] = useState(false);
  const [view, setView] = useState<View>(FITTED);
  const [win, setWindow] = useState<Window>(WHOLE);
  const [problem, setProblem] = useState("");
  const last = useRef<{ x: number; y: number } | null>(null);
  const { jobs, start, cancel, discard } = useJobs("region");
  const job = jobs?.find((one) => one.request.row === row) ?? null;
  const original = useAsked(async (signal) => new Uint16Array(await getBytes(`/api/scan/${row}/original?v=${scans.table.fingerprint}`, signal)), `${row}`);
  const drawn = useDrawn(run, job);
  const shown = params.get("show") ?? "paint";
  const [seed, temperature, many] = [parsedNumber(params.get("seed"), 0), parsedNumber(params.get("temperature"), 1), parsedNumber(params.get("count"), 6)];

  const pixels = useMemo(() => {
    if (shown === "paint" || !drawn.length) return original.found;
    if (shown === "mean") return mean(drawn);
    return shown === "deviation" ? original.found : (drawn[Number(shown)] ?? original.found);
  }, [shown, drawn, original.found]);
  const picture = useMemo(() => pixels && asCanvas(greyImage(pixels, side, win)), [pixels, win]);
  const heat = useMemo(() => {
    if (shown === "paint") return asCanvas(maskImage(mask.current, side));
    if (shown === "deviation" && drawn.length > 1) return asCanvas(heatImage(deviation(drawn), side, 0.15, { clear: true }));
    return null;
  }, [shown, painted, drawn]);
  const title = shown === "paint" ? "Paint a region" : shown === "mean" ? `Mean of ${drawn.length}` : shown === "deviation" ? `Deviation of ${drawn.length}` : `Version ${Number(shown) + 1}`;
  const panes: Pane[] = [{ title, picture, heat }];

  function paint({ x, y, start: first, erase }: { x: number; y: number; start: boolean; erase: boolean }) {
    if (first) {
      undone.current = [...undone.current.slice(-19), mask.current.slice()];
      last.current = null;
      if (shown !== "paint") change({ show: "" });
    }
    const from = last.current ?? { x, y };
    const steps = Math.max(1, Math.ceil((Math.hypot(x - from.x, y - from.y) * side) / 2));
    for (let step = 0; step <= steps; step++) {
      const [cx, cy] = [(from.x + ((x - from.x) * step) / steps) * side, (from.y + ((y - from.y) * step) / steps) * side];
      for (let j = Math.max(0, Math.floor(cy - brush)); j < Math.min(side, cy + brush); j++)
        for (let i = Math.max(0, Math.floor(cx - brush)); i < Math.min(side, cx + brush); i++)
          if (Math.hypot(i + 0.5 - cx, j + 0.5 - cy) <= brush / 2) mask.current[j * side + i] = erase || erasing ? 0 : 1;
    }
    last.current = { x, y };
    setPainted((before) => before + 1);
  }
  const set = (next: Uint8Array<ArrayBuffer>) => {
    mask.current = next;
    setPainted((before) => before + 1);
    change({ show: "" });
  };
  const empty = !mask.current.some(Boolean);
  useEffect(() => {
    // After a reload the region of the last drawing is there again. It is long, so it is asked for only then.
    if (!job || !empty) return;
    getJson<Job>(`/api/jobs/${job.number}`).then(
      ({ request }) => {
        if (mask.current.some(Boolean)) return;
        mask.current = unfolded(String(request.mask), side * side);
        setPainted((before) => before + 1);
      },
      () => {},
    );
  }, [job?.number]);
  const draw = () =>
    start("/api/region", { row, mask: packed(mask.current), count: many, temperature, seed }).then(
      () => (setProblem(""), change({ show: 0, seed: seed + many })),
      (error) => setProblem(wordsOf(error)),
    );
  const flip = useRef<(event: KeyboardEvent) => void>(() => {});
  flip.current = (event) => {
    if (event.target instanceof HTMLInputElement) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && undone.current.length) set(undone.current.pop()!);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && drawn.length) {
      const now = Number.isInteger(Number(shown)) ? Number(shown) : step > 0 ? -1 : 0;
      change({ show: (now + step + drawn.length) % drawn.length });
    }
  };
  useEffect(() => {
    const down = (event: KeyboardEvent) => flip.current(event);
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
  void painted;

  return (
    <div class="scan">
      <div class="work">
        <div class="tools line">
          <Choice
            label="Brush"
            value={erasing ? "erase" : "paint"}
            options={[
              { value: "paint", text: "Paint" },
              { value: "erase", text: "Erase", title: "Or hold Alt" },
            ]}
            onChange={(value) => setErasing(value === "erase")}
          />
          <Slider label="Width" value={brush} low={2} high={Math.round(side / 3)} step={1} text={`${brush} px`} onInput={setBrush} />
          <button type="button" disabled={!undone.current.length} onClick={() => set(undone.current.pop()!)}>
            Undo
          </button>
          <button
            type="button"
            disabled={empty}
            onClick={() => {
              undone.current.push(mask.current.slice());
              set(new Uint8Array(side * side));
            }}
          >
            Clear
          </button>
          <span class="dim">Drag to paint · Shift moves · wheel zooms · arrow keys flip</span>
        </div>
        <Stage
          panes={panes}
          strength={shown === "paint" ? 0.55 : 0.8}
          view={view}
          window={win}
          wipe={0}
          windowing={false}
          smooth
          label={scans.name(row)}
          onView={setView}
          onWindow={setWindow}
          onWipe={() => {}}
          onHover={() => {}}
          onPick={() => {}}
          onPaint={paint}
        />
        <div class="status">{shown === "deviation" && <Scale kind="heat" low="0" high="0.15 of the grey values" />}</div>
      </div>
      <aside class="side" aria-label="The region">
        <nav class="line">
          <a class="button" href={href("scan", row)}>
            Back to the scan
          </a>
        </nav>
        <h1>{scans.name(row)}</h1>
        {original.error && <Problem>{original.error}</Problem>}
        <Slider label="Temperature" value={temperature} low={0.1} high={2} step={0.05} text={temperature.toFixed(2)} onInput={(value) => change({ temperature: value === 1 ? "" : value })} />
        <div class="line">
          <SeedAndCount seed={seed} count={many} title="Versions" most={16} />
        </div>
        <button class="primary" type="button" disabled={empty} onClick={draw}>
          {empty ? "Paint a region first" : "Redraw the region"}
        </button>
        {problem && <Problem>{problem}</Problem>}
        {job?.error && <Problem>{job.error}</Problem>}
        {job && !isOver(job) && <Running job={job} label="Drawing versions" cancel={cancel} />}
        {job && drawn.length > 0 && (
          <>
            <div class="line">
              <button type="button" aria-pressed={shown === "mean"} onClick={() => change({ show: "mean" })}>
                Mean
              </button>
              <button type="button" aria-pressed={shown === "deviation"} disabled={drawn.length < 2} onClick={() => change({ show: "deviation" })}>
                Deviation
              </button>
              <button type="button" aria-pressed={shown === "paint"} onClick={() => change({ show: "" })}>
                Original
              </button>
            </div>
            <ul class="versions">
              {drawn.map((version, index) => (
                <li key={index}>
                  <button type="button" aria-pressed={shown === String(index)} title={`Version ${index + 1}, seed ${job.results[index].seed}`} onClick={() => change({ show: index })}>
                    <Picture image={greyImage(version, side, win)} title={`Version ${index + 1}`} class="grey smooth" />
                  </button>
                </li>
              ))}
            </ul>
            <div class="line">
              {Number.isInteger(Number(shown)) && shown !== "" && (
                <button type="button" onClick={() => save(`/api/jobs/${job.number}/image/${Number(shown)}/file`).catch((error) => setProblem(wordsOf(error)))}>
                  Save this version
                </button>
              )}
              {isOver(job) && (
                <button type="button" onClick={() => (change({ show: "" }), void discard(job))}>
                  Discard
                </button>
              )}
            </div>
          </>
        )}
        <p class="hint">The prior draws the codes that the region touches anew, given all others. Outside the region nothing changes. A map of the deviation shows where the surroundings leave it open.</p>
      </aside>
    </div>
  );
}

function useDrawn(run: Run, job: Job | null): Uint16Array[] {
  const [drawn, setDrawn] = useState<Uint16Array[]>([]);
  const many = job?.results.length ?? 0;
  useEffect(() => {
    let over = false;
    if (!job) setDrawn([]);
    else Promise.all(job.results.map((_, index) => drawnBy(run, job, index))).then((all) => over || setDrawn(all), () => {});
    return () => void (over = true);
  }, [job?.number, many, run.version]);
  return drawn;
}

function packed(mask: Uint8Array): string {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((value, index) => value && (bytes[index >> 3] |= 128 >> (index & 7)));
  return btoa(String.fromCharCode(...bytes));
}

function unfolded(mask: string, size: number): Uint8Array<ArrayBuffer> {
  const bytes = unpacked(mask);
  return Uint8Array.from({ length: size }, (_, index) => (bytes[index >> 3] >> (7 - (index & 7))) & 1);
}

function maskImage(mask: Uint8Array, side: number): ImageData {
  const image = new ImageData(side, side);
  mask.forEach((value, index) => value && image.data.set([95, 208, 197, 255], 4 * index));
  return image;
}

function mean(all: Uint16Array[]): Uint16Array {
  return Uint16Array.from(all[0], (_, index) => all.reduce((sum, one) => sum + one[index], 0) / all.length);
}

function deviation(all: Uint16Array[]): Float32Array {
  const middle = mean(all);
  return Float32Array.from(middle, (value, index) => Math.sqrt(all.reduce((sum, one) => sum + (one[index] - value) ** 2, 0) / (all.length - 1)) / 65535);
}
