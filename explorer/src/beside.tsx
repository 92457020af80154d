/** View 7: two runs side by side on the same scan. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getBytes, getJson, postBytes, type Measures, type Run, type Scan } from "./api";
import { DIFFERENCE_LIMIT, asCanvas, differenceImage, greyImage } from "./colours";
import { MeasuresTable } from "./measures";
import { change, parsedNumber, type Route } from "./route";
import { Facts, LayerChoice, cellsOf, heatOf, useLazily, useSteps } from "./scan-parts";
import type { Scans } from "./scans";
import { useSeen } from "./seen";
import { Stage, cellAt, type Cells, type Layers, type Pane, type Point } from "./stage";
import { Choice, Problem, Scale, Slider, Toggle, useAsked } from "./ui";
import { WordPanel } from "./word";

type Mode = "all" | "pictures" | "differences" | "wipe";

/** What one of the two runs makes of a scan. */
function useSide(base: string, run: Run, row: number, params: URLSearchParams, ending: string) {
  const open = run.loaded && run.scans !== null && !run.opening.phase;
  const key = open ? `${base}/${run.version}/${row}` : null;
  const decoding = params.get("decoding") === "textured" && run.texture ? "textured" : "faithful";
  const scan = useAsked<Scan>((signal) => getJson(`${base}/scan/${row}`, signal), key);
  const decoded = useAsked((signal) => postBytes(`${base}/scan/${row}/decode`, { decoding }, signal), key && `${key}/${decoding}`);
  const measures = useAsked<Measures>((signal) => getJson(`${base}/scan/${row}/measures`, signal), key);
  const heated = params.get("bits") === "1" && run.prior;
  const bits = useAsked(async (signal) => new Float32Array((await postBytes(`${base}/scan/${row}/bits`, {}, signal)).bytes), heated ? key : null);
  const layouts = scan.found?.layouts;
  const level = Math.min(parsedNumber(params.get(`level${ending}`), (layouts?.length ?? 1) - 1), (layouts?.length ?? 1) - 1);
  const codebook = Math.min(parsedNumber(params.get(`codebook${ending}`), 0), (layouts?.[level].q ?? 1) - 1);
  const heat = useMemo(() => (bits.found && layouts ? heatOf(bits.found, layouts, level) : null), [bits.found, layouts, level]);
  const pixels = useMemo(() => decoded.found && new Uint16Array(decoded.found.bytes), [decoded.found]);
  const opening = open ? "" : run.problems.run ? "" : "Opening this run …";
  return {
    ...{ base, run, ending, layouts, level, codebook, heat, pixels, opening },
    cells: layouts ? (layouts[level].grid as Cells) : null,
    codes: scan.found?.codes[level] ?? null,
    facts: scan.found,
    measures: measures.found,
    problem: run.problems.run || scan.error || decoded.error || measures.error || bits.error,
  };
}
type Side = ReturnType<typeof useSide>;

const pointOf = (text: string | null): Point | null => {
  const [x, y] = (text ?? "").split("_").map(Number);
  return x >= 0 && x < 1 && y >= 0 && y < 1 ? { x, y } : null;
};

export function Beside({ run, other, scans, route }: { run: Run; other: Run; scans: Scans; route: Route }) {
  const params = route.params;
  const row = Math.min(Math.max(0, parsedNumber(route.part, 0)), scans.table.rows - 1);
  const side = run.space![1];
  const mode = (params.get("show") ?? "all") as Mode;
  const point = pointOf(params.get("at"));
  const { view, win, setView, setWindow, fit } = useSeen(params);
  const [wipe, setWipe] = useState(0.5);
  const [hovered, setHovered] = useState<Point | null>(null);
  const [windowing, setWindowing] = useState(false);
  const [strength, setStrength] = useState(0.65);
  const { go, steps } = useSteps(scans, row, "beside", params, ["show", "bits", "grid", "decoding", "level", "level2"]);
  const original = useAsked(async (signal) => new Uint16Array(await getBytes(`/api/scan/${row}/original?v=${scans.table.fingerprint}`, signal)), `${row}`);
  const first = useSide("/api", run, row, params, "");
  const second = useSide("/api/beside", other, row, params, "2");
  const sides = [first, second];
  const shown = point ?? hovered;

  const grey = (pixels: Uint16Array | null) => pixels && asCanvas(greyImage(pixels, side, win));
  const source = useMemo(() => grey(original.found), [original.found, win]);
  const pictures = [useMemo(() => grey(first.pixels), [first.pixels, win]), useMemo(() => grey(second.pixels), [second.pixels, win])];
  const differing = (from: Uint16Array | null, to: Uint16Array | null) => useMemo(() => from && to && asCanvas(differenceImage(from, to, side)), [from, to]);
  const differences = [differing(original.found, first.pixels), differing(original.found, second.pixels), differing(first.pixels, second.pixels)];

  const layersOf = ({ heat, cells }: Side): Layers => ({ heat: heat?.picture, cells, marked: cellAt(point, cells), hovered: cellAt(hovered, cells) });
  const reconstructions = sides.map((one, index): Pane => ({ title: titled(one.run.name, index), picture: pictures[index], ...layersOf(one) }));
  const errors = sides.map((one, index): Pane => ({ title: `${titled(one.run.name, index)} − original`, picture: differences[index], ...layersOf(one), heat: null }));
  const between: Pane = { title: `${titled("", 1)} − ${titled("", 0)}`, picture: differences[2] };
  const plain: Pane = { title: "Original", picture: source };
  const panes: Pane[] = {
    all: [plain, ...reconstructions, between, ...errors],
    pictures: [plain, ...reconstructions],
    differences: [between, ...errors],
    wipe: [{ ...reconstructions[0], heat: null, beside: { title: reconstructions[1].title, picture: pictures[1] } }],
  }[mode] ?? [plain];

  const keys = useRef<(event: KeyboardEvent) => void>(() => {});
  keys.current = (event) => {
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
    const modes: Record<string, Mode> = { a: "all", r: "pictures", d: "differences", w: "wipe" };
    if (modes[event.key]) change({ show: modes[event.key] === "all" ? "" : modes[event.key] });
    else if (event.key === "g") change({ grid: params.get("grid") === "1" ? "" : 1 });
    else if (event.key === "b") change({ bits: params.get("bits") === "1" ? "" : 1 });
    else if (event.key === "0") fit();
    else if (event.key === "Escape") change({ at: "" });
    else if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
  };
  useEffect(() => {
    const down = (event: KeyboardEvent) => keys.current(event);
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
  const hover = useLazily(setHovered, 25);
  const prior = Boolean(run.prior || other.prior);
  const heats = sides.flatMap((one) => (one.heat ? [one.heat.high] : []));

  return (
    <div class="scan">
      <div class="work">
        <div class="tools line">
          <Choice
            label="What is shown"
            value={mode}
            options={[
              { value: "all", text: "All", title: "Original, reconstructions, and differences (A)" },
              { value: "pictures", text: "Reconstructions", title: "R" },
              { value: "differences", text: "Differences", title: "D" },
              { value: "wipe", text: "Wipe", title: "Both reconstructions with a wipe between them (W)" },
            ]}
            onChange={(value) => change({ show: value === "all" ? "" : value })}
          />
          <Toggle on={params.get("grid") === "1"} text="Grid" title="The grid of the codes of each run (G)" onChange={(on) => change({ grid: on ? 1 : "" })} />
          <Toggle on={params.get("bits") === "1"} text="Bits" title={prior ? "Bits of each code under the prior of its run (B)" : "Neither run has a prior"} disabled={!prior} onChange={(on) => change({ bits: on ? 1 : "" })} />
          {(run.texture || other.texture) && <Toggle on={params.get("decoding") === "textured"} text="Textured" title="Decode with likely fine detail, where a run has it" onChange={(on) => change({ decoding: on ? "textured" : "" })} />}
          <Toggle on={windowing} text="Window" title="Drag to change window and level; the right mouse button always does" onChange={setWindowing} />
          <Toggle on={params.get("pixels") === "1"} text="Pixels" title="Show pixels as they are, not smoothed" onChange={(on) => change({ pixels: on ? 1 : "" })} />
          <button type="button" title="Fit, and show all grey values (0)" onClick={fit}>
            Reset
          </button>
        </div>
        <Stage
          panes={panes}
          columns={mode === "wipe" ? 1 : 3}
          grid={params.get("grid") === "1"}
          {...{ view, wipe, windowing, strength }}
          smooth={params.get("pixels") !== "1"}
          window={win}
          label={scans.name(row)}
          onView={setView}
          onWindow={setWindow}
          onWipe={setWipe}
          onHover={hover}
          onPick={(picked) => change({ at: picked && !samePlace(picked, point, sides) ? `${picked.x.toFixed(4)}_${picked.y.toFixed(4)}` : "" })}
        />
        <div class="status">
          <span>
            L {Math.round(100 * win.centre)} · W {Math.round(100 * win.width)} · {view.zoom.toFixed(1)}×
          </span>
          {(mode === "all" || mode === "differences") && <Scale kind="difference" low={`−${DIFFERENCE_LIMIT} darker`} high={`brighter +${DIFFERENCE_LIMIT}`} />}
          {heats.length > 0 && (mode === "all" || mode === "pictures") && (
            <>
              <Scale kind="heat" low="0" high={[...new Set(heats.map((high) => high.toFixed(0)))].join(" and ") + " bits"} />
              <Slider label="Strength" value={strength} low={0} high={1} step={0.05} text={`${Math.round(100 * strength)} %`} onInput={setStrength} />
            </>
          )}
        </div>
      </div>
      <aside class="side" aria-label="About this scan and both runs">
        {steps}
        {first.facts ? <Facts scan={first.facts} scans={scans} only={["split", "label"]} /> : <h1>{scans.name(row)}</h1>}
        {original.error && <Problem>{original.error}</Problem>}
        <MeasuresTable runs={sides.map(({ run, measures, layouts }, index) => ({ name: titled(run.name, index), measures, layouts: layouts ?? [] }))} />
        {sides.map((one, index) => (
          <section key={one.base} class="one-side" aria-label={titled(one.run.name, index)}>
            <h2>{titled(one.run.name, index)}</h2>
            {one.problem && <Problem>{one.problem}</Problem>}
            {one.opening && <p class="dim">{one.opening}</p>}
            {one.layouts && <LayerChoice layouts={one.layouts} level={one.level} codebook={one.codebook} onChange={(values) => change(Object.fromEntries(Object.entries(values).map(([name, value]) => [name + one.ending, value])))} />}
            <Codeword side={one} point={shown} scans={scans} />
          </section>
        ))}
        {!shown && <p class="hint">Point at a picture to see the codeword that each run has there; click to keep the place. All pictures zoom, move and change their window together.</p>}
      </aside>
    </div>
  );
}

/** A and B stand before the names, because names may be long, or alike. */
const titled = (name: string, index: number) => (name ? `${"AB"[index]}: ${name}` : "AB"[index]);

/** Whether two points lie in the same cells of both runs, so that a second click lets go of a place. */
const samePlace = (one: Point, two: Point | null, sides: Side[]) => two !== null && sides.every(({ cells }) => cellAt(one, cells) === cellAt(two, cells));

function Codeword({ side, point, scans }: { side: Side; point: Point | null; scans: Scans }) {
  const { cells, codes, level, codebook, run, base, heat } = side;
  const cell = cellAt(point, cells);
  const code = cell === null || !codes || !cells ? undefined : codes[codebook * cellsOf(cells) + cell];
  if (cell === null || code === undefined || !cells) return null;
  return (
    <>
      <p class="dim">
        Cell {Math.floor(cell / cells[1]) + 1}, {(cell % cells[1]) + 1} of {cells.join("×")}
        {heat && ` · ${heat.values[cell].toFixed(1)} bits`}
      </p>
      <WordPanel base={base} version={`${run.version}-${scans.encoded >= scans.total ? "whole" : Math.floor(2 * Math.log2(1 + scans.encoded))}`} {...{ level, codebook, code }} brief />
    </>
  );
}
