/** View 8: the figures of a training as they come, and its pictures. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { getJson, wordsOf, type Run, type Training } from "./api";
import { change, type Route } from "./route";
import { Choice, Empty, Problem, useSize } from "./ui";
import { Validations } from "./validations";

type Curve = Training["curves"][number];
const NAMES: Record<string, string> = {
  loss: "Loss",
  ssim: "SSIM",
  psnr_db: "PSNR (dB)",
  bits_per_code: "Bits per code",
  perplexity: "Perplexity: codewords in effective use",
  codes_in_use: "Codewords in use",
};
const FIRST = ["ssim", "psnr_db", "bits_per_code", "loss", "perplexity", "codes_in_use"];
const COLOURS: Record<string, string> = { train: "var(--first)", validation: "var(--second)" };

export function TrainingView({ run, route }: { run: Run; route: Route }) {
  const [found, setFound] = useState<Training | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let timer = 0;
    let over = false;
    const look = async () => {
      try {
        const next = await getJson<Training>("/api/training");
        if (over) return;
        setFound((before) => (before && JSON.stringify([before.changed, before.pictures, before.validations]) === JSON.stringify([next.changed, next.pictures, next.validations]) ? before : next));
        setProblem("");
      } catch (error) {
        setProblem(wordsOf(error));
      }
      if (!over) timer = window.setTimeout(look, 2000);
    };
    void look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [run.version]);
  if (!found) return problem ? <Problem>{problem}</Problem> : <div class="waiting">Reading the figures …</div>;
  const stages = found.stages.map((stage) => stage.name);
  const stage = stages.includes(route.params.get("stage") ?? "") ? route.params.get("stage")! : (stages[stages.length - 1] ?? "");
  const facts = run.stages[stage];
  const age = Date.now() / 1000 - found.changed;
  const live = found.changed > 0 && age < 30 && !found.stages.every((one) => one.finished);
  return (
    <div class="training">
      <h1 class="unseen">Training</h1>
      <div class="tools line">
        {stages.length > 0 && (
          <Choice
            label="Stage"
            value={stage}
            options={stages.map((name) => ({ value: name, text: name[0].toUpperCase() + name.slice(1) }))}
            onChange={(value) => change({ stage: value, step: "" })}
          />
        )}
        <span class="dim">
          {facts ? `finished after ${facts.steps.toLocaleString("en")} steps, ${facts.minutes} minutes` : live ? "training now" : stages.length ? "not finished" : ""}
        </span>
        {live && <span class="live">live</span>}
      </div>
      <div class="scrolling charts" tabIndex={0} role="region" aria-label="Figures of the training">
        {problem && <Problem>{problem}</Problem>}
        {!stages.length && (
          <Empty title="No figures yet">
            <p>They appear here when the training writes the first ones.</p>
          </Empty>
        )}
        {found.validations[stage] && <Validations key={stage} stage={stage} about={found.validations[stage]} params={route.params} />}
        <div class="grid">
          {grouped(found.curves.filter((curve) => curve.stage === stage)).map(([name, curves]) => (
            <Chart key={`${stage}/${name}`} title={NAMES[name] ?? `${name[0].toUpperCase()}${name.slice(1)}`.replaceAll("_", " ").replaceAll("/", ": ")} curves={curves} />
          ))}
        </div>
        {Object.entries(found.pictures).map(([name, changed]) => (
          <figure key={name} class="sheet">
            <figcaption>{name === "samples" ? "New images" : "Test images, reconstructions and differences"}</figcaption>
            <img src={`/api/training/${name}.png?t=${changed}`} alt={name === "samples" ? "New images of the finished run" : "Test images beside their reconstructions and differences"} />
          </figure>
        ))}
      </div>
    </div>
  );
}

/** Groups the curves of a measure, training and validation together, the most telling first. */
function grouped(curves: Curve[]): [string, Curve[]][] {
  const groups = new Map<string, Curve[]>();
  for (const curve of curves) {
    const name = curve.name.replace(/^(train|validation)\//, "");
    groups.set(name, [...(groups.get(name) ?? []), curve]);
  }
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...groups].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

const [LEFT, RIGHT, TOP, BOTTOM] = [54, 12, 10, 26];

function Chart({ title, curves }: { title: string; curves: Curve[] }) {
  const { ref, size } = useSize<HTMLDivElement>();
  const [at, setAt] = useState<number | null>(null);
  const height = 190;
  const { scale, lines, ticks, end } = useMemo(() => {
    const points = curves.flatMap((curve) => curve.points);
    const end = Math.max(1, ...points.map(([elapsed]) => elapsed));
    // The first twentieth of a training would squeeze the rest.
    const later = points.filter(([elapsed]) => elapsed >= 0.05 * end);
    const values = (later.length > 3 ? later : points).map(([, , value]) => value);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const wide = Math.max(10, size.width - LEFT - RIGHT);
    const scale = {
      x: (elapsed: number) => LEFT + (elapsed / end) * wide,
      y: (value: number) => TOP + (1 - (Math.min(high * 1.02 + 1e-9, Math.max(low, value)) - low) / (high - low)) * (height - TOP - BOTTOM),
    };
    const path = (points: [number, number][]) => points.map(([elapsed, value]) => `${scale.x(elapsed).toFixed(1)},${Math.max(2, scale.y(value)).toFixed(1)}`).join(" ");
    const lines = curves.map((curve) => {
      const raw = curve.points.map(([elapsed, , value]) => [elapsed, value] as [number, number]);
      return { raw: path(raw), smooth: raw.length > 60 ? path(smoothed(raw)) : "" };
    });
    return { scale, lines, ticks: nice(low, high), end };
  }, [curves, size.width]);
  const unit = end > 120 ? 60 : 1;
  const read = curves.map((curve) => {
    const points = curve.points;
    if (at === null) return points[points.length - 1];
    return points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), points[0]);
  });
  return (
    <figure class="chart" ref={ref}>
      <figcaption>
        <h2>{title}</h2>
        {curves.map((curve, index) => {
          const kind = curve.name.split("/")[0];
          return (
            <span key={curve.name} class="key">
              <i style={{ background: COLOURS[kind] ?? "var(--first)" }} />
              {kind} <b>{Number(read[index][2].toPrecision(4))}</b>
            </span>
          );
        })}
      </figcaption>
      {size.width > 0 && (
        <svg
          width={size.width}
          height={height}
          role="img"
          aria-label={`${title}: ${curves.map((curve) => `${curve.name} ends at ${curve.points[curve.points.length - 1][2]}`).join(", ")}`}
          onPointerMove={(event) => {
            const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
            setAt(Math.min(end, Math.max(0, ((x - LEFT) / (size.width - LEFT - RIGHT)) * end)));
          }}
          onPointerLeave={() => setAt(null)}
        >
          {ticks.map((tick) => (
            <g key={tick}>
              <line class="rule" x1={LEFT} x2={size.width - RIGHT} y1={scale.y(tick)} y2={scale.y(tick)} />
              <text x={LEFT - 7} y={scale.y(tick) + 4} text-anchor="end">
                {Number(tick.toPrecision(6))}
              </text>
            </g>
          ))}
          {[0, 0.5, 1].map((share) => (
            <text key={share} x={scale.x(share * end)} y={height - 7} text-anchor={share === 0 ? "start" : share === 1 ? "end" : "middle"}>
              {Number(((share * end) / unit).toPrecision(2))} {share === 1 ? (unit === 60 ? "min" : "s") : ""}
            </text>
          ))}
          {lines.map(({ raw, smooth }, index) => {
            const stroke = COLOURS[curves[index].name.split("/")[0]] ?? "var(--first)";
            return (
              <g key={index} style={{ stroke }}>
                <polyline points={raw} class={smooth ? "faint" : ""} />
                {smooth && <polyline points={smooth} />}
              </g>
            );
          })}
          {at !== null && <line class="cursor" x1={scale.x(at)} x2={scale.x(at)} y1={TOP} y2={height - BOTTOM} />}
        </svg>
      )}
    </figure>
  );
}

/** A running mean, which weighs the last thirtieth of the points most. */
function smoothed(points: [number, number][]): [number, number][] {
  const share = 30 / points.length;
  let mean = points[0][1];
  return points.map(([elapsed, value], index) => {
    mean += Math.max(share, 1 / (index + 1)) * (value - mean);
    return [elapsed, mean];
  });
}

function nice(low: number, high: number): number[] {
  const raw = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-12; tick += step) ticks.push(tick);
  return ticks;
}
