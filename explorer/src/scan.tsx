/** View 2: one scan, its reconstruction, and its codes, which can be exchanged. */

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getBytes, getJson, postBytes, save, wordsOf, type Run, type Scan } from "./api";
import { DIFFERENCE_LIMIT, asCanvas, differenceImage, greyImage } from "./colours";
import { change, href, parsedNumber, type Route } from "./route";
import { Facts, LayerChoice, Typed, cellsOf, editsOf, heatOf, useDecoded, useLazily, useSteps, written } from "./scan-parts";
import type { Scans } from "./scans";
import { useSeen } from "./seen";
import { Stage, cellAt, type Cells, type Pane } from "./stage";
import { Choice, Empty, Problem, Scale, Slider, Toggle, useAsked } from "./ui";
import { WordPanel } from "./word";

type Mode = "wipe" | "original" | "decoded" | "difference" | "all";

export function ScanView({ run, scans, route, ticks }: { run: Run; scans: Scans; route: Route; ticks: number }) {
  const row = Number(route.part);
  const { found, error } = useAsked<Scan>((signal) => getJson(`/api/scan/${row}`, signal), `${row}/${run.version}`);
  if (error)
    return (
      <Empty title="This scan cannot be shown">
        <Problem>{error}</Problem>
        <a class="button" href="#/scans">
          All scans
        </a>
      </Empty>
    );
  if (!found || found.row !== row) return <div class="waiting">Opening the scan …</div>;
  return <Viewer key={`${row}/${run.version}`} {...{ run, scans, route, ticks }} scan={found} />;
}

function Viewer({ run, scans, route, scan, ticks }: { run: Run; scans: Scans; route: Route; scan: Scan; ticks: number }) {
  const params = route.params;
  const side = scan.shape[scan.shape.length - 1];
  const mode = (params.get("show") ?? "wipe") as Mode;
  const level = Math.min(parsedNumber(params.get("level"), (scan.layouts?.length ?? 1) - 1), (scan.layouts?.length ?? 1) - 1);
  const layout = scan.layouts?.[level];
  const codebook = Math.min(parsedNumber(params.get("codebook"), 0), (layout?.q ?? 1) - 1);
  const cell = params.has("cell") ? parsedNumber(params.get("cell"), 0) : null;
  const editsText = params.get("edits") ?? "";
  const edits = useMemo(() => editsOf(editsText), [editsText]);
  const decoding = params.get("decoding") === "textured" && run.texture ? "textured" : "faithful";
  const heat = params.get("bits") === "1" && run.prior === true;
  const { view, win, setView, setWindow, fit } = useSeen(params);
  const [wipe, setWipe] = useState(0.5);
  const [hovered, setHovered] = useState<number | null>(null);
  const [windowing, setWindowing] = useState(false);
  const [comparing, setComparing] = useState(false);
  const [strength, setStrength] = useState(0.65);
  const [problem, setProblem] = useState("");
  const smooth = params.get("pixels") !== "1";

  const original = useAsked(async (signal) => new Uint16Array(await getBytes(`/api/scan/${scan.row}/original?v=${scans.table.fingerprint}`, signal)), `${scan.row}`);
  const plain = useAsked((signal) => postBytes(`/api/scan/${scan.row}/decode`, { decoding }, signal), `${scan.row}/${decoding}`);
  const edited = useDecoded(scan.row, edits, decoding, setProblem);
  const bits = useAsked(
    async (signal) => new Float32Array((await postBytes(`/api/scan/${scan.row}/bits`, { edits }, signal)).bytes),
    heat ? `${scan.row}/${editsText}` : null,
  );

  const codes = useMemo(() => {
    const all = scan.codes.map((one) => [...one]);
    for (const edit of edits) {
      const own = scan.layouts?.[edit.level];
      if (own && all[edit.level]) all[edit.level][edit.codebook * cellsOf(own.grid) + edit.cell] = edit.code;
    }
    return all;
  }, [scan, edits]);
  const codeAt = (place: number) => codes[level]?.[codebook * cellsOf(layout?.grid ?? [0]) + place];
  const shownCell = cell ?? hovered;
  const cells = layout && layout.grid.length === 2 ? (layout.grid as Cells) : null;

  const decoded = comparing || !edits.length ? plain.found : (edited ?? plain.found);
  const pictures = useMemo(() => {
    const first = original.found;
    const second = decoded ? new Uint16Array(decoded.bytes) : null;
    return {
      original: first && asCanvas(greyImage(first, side, win)),
      decoded: second && asCanvas(greyImage(second, side, win)),
      difference: first && second && asCanvas(differenceImage(first, second, side)),
    };
  }, [original.found, decoded, win, side]);
  const reconstruction = comparing ? "Original codes" : edits.length ? "With your codewords" : decoding === "textured" ? "Textured" : "Reconstruction";
  const panes: Pane[] = {
    wipe: [{ title: "Original", picture: pictures.original, beside: { title: reconstruction, picture: pictures.decoded } }],
    original: [{ title: "Original", picture: pictures.original }],
    decoded: [{ title: reconstruction, picture: pictures.decoded }],
    difference: [{ title: "Difference", picture: pictures.difference }],
    all: [
      { title: "Original", picture: pictures.original },
      { title: reconstruction, picture: pictures.decoded },
      { title: "Difference", picture: pictures.difference },
    ],
  }[mode] ?? [];

  const heatLayer = useMemo(() => (heat && bits.found && scan.layouts ? heatOf(bits.found, scan.layouts, level) : null), [heat, bits.found, level, scan.layouts]);

  const exchange = useCallback(
    (code: number) => {
      if (shownCell === null || codeAt(shownCell) === code) return;
      const original = scan.codes[level][codebook * cellsOf(layout!.grid) + shownCell];
      const others = edits.filter((edit) => edit.level !== level || edit.codebook !== codebook || edit.cell !== shownCell);
      const next = code === original ? others : [...others, { level, codebook, cell: shownCell, code }];
      change({ edits: written(next), cell: shownCell }, { keep: true });
    },
    [shownCell, edits, level, codebook, codes],
  );
  const undo = () => change({ edits: written(edits.slice(0, -1)) }, { keep: true });

  const { go, steps } = useSteps(scans, scan.row, "scan", params, ["show", "bits", "grid"]);

  const keys = useRef<(event: KeyboardEvent) => void>(() => {});
  keys.current = (event) => {
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && edits.length) return void (event.preventDefault(), undo());
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const modes: Record<string, Mode> = { w: "wipe", o: "original", r: "decoded", d: "difference", a: "all" };
    if (modes[event.key]) change({ show: modes[event.key] === "wipe" ? "" : modes[event.key] });
    else if (event.key === "g") change({ grid: params.get("grid") === "1" ? "" : 1 });
    else if (event.key === "b" && run.prior) change({ bits: heat ? "" : 1 });
    else if (event.key === "0") fit();
    else if (event.key === "c") setComparing(true);
    else if (event.key === "Escape") change({ cell: "" });
    else if (cell !== null && cells && event.key.startsWith("Arrow")) {
      const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]!;
      const [column, line] = [(cell % cells[1]) + x, Math.floor(cell / cells[1]) + y];
      if (column >= 0 && line >= 0 && column < cells[1] && line < cells[0]) change({ cell: line * cells[1] + column });
      event.preventDefault();
    } else if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
  };
  useEffect(() => {
    const down = (event: KeyboardEvent) => keys.current(event);
    const up = (event: KeyboardEvent) => event.key === "c" && setComparing(false);
    addEventListener("keydown", down);
    addEventListener("keyup", up);
    return () => (removeEventListener("keydown", down), removeEventListener("keyup", up));
  }, []);

  const hover = useLazily(setHovered, 25);
  // What is known of a codeword is asked for anew now and then, while scans are encoded.
  const surveyed = scans.encoded >= scans.total ? "whole" : Math.floor(2 * Math.log2(1 + scans.encoded));
  const saving = (address: string) => save(address, { edits, decoding }).then(() => setProblem(""), (error) => setProblem(wordsOf(error)));
  const changed = useMemo(() => new Set(edits.filter((edit) => edit.level === level && edit.codebook === codebook).map((edit) => edit.cell)), [edits, level, codebook]);
  void ticks;

  return (
    <div class="scan">
      <div class="work">
        <div class="tools line">
          <Choice
            label="What is shown"
            value={mode}
            options={[
              { value: "wipe", text: "Wipe", title: "Original and reconstruction with a wipe between them (W)" },
              { value: "original", text: "Original", title: "O" },
              { value: "decoded", text: "Reconstruction", title: "R" },
              { value: "difference", text: "Difference", title: "D" },
              { value: "all", text: "All three", title: "A" },
            ]}
            onChange={(value) => change({ show: value === "wipe" ? "" : value })}
          />
          <Toggle on={params.get("grid") === "1"} text="Grid" title="The grid of the codes (G)" onChange={(on) => change({ grid: on ? 1 : "" })} />
          <Toggle on={heat} text="Bits" title={run.prior ? "Bits of each code under the prior (B)" : "The run has no prior"} disabled={!run.prior} onChange={(on) => change({ bits: on ? 1 : "" })} />
          {run.texture && <Toggle on={decoding === "textured"} text="Textured" title="Decode with likely fine detail" onChange={(on) => change({ decoding: on ? "textured" : "" })} />}
          <Toggle on={windowing} text="Window" title="Drag to change window and level; the right mouse button always does" onChange={setWindowing} />
          <Toggle on={!smooth} text="Pixels" title="Show pixels as they are, not smoothed" onChange={(on) => change({ pixels: on ? 1 : "" })} />
          <button type="button" title="Fit, and show all grey values (0)" onClick={fit}>
            Reset
          </button>
        </div>
        <Stage
          panes={panes.map((pane) => ({ ...pane, heat: heatLayer?.picture, cells, marked: cell, hovered, changed }))}
          grid={params.get("grid") === "1"}
          {...{ view, wipe, windowing, smooth, strength }}
          window={win}
          label={scans.name(scan.row)}
          onView={setView}
          onWindow={setWindow}
          onWipe={setWipe}
          onHover={(point) => hover(cellAt(point, cells))}
          onPick={(point) => {
            const picked = cellAt(point, cells);
            change({ cell: picked === null || picked === cell ? "" : picked });
          }}
        />
        <div class="status">
          <span>
            L {Math.round(100 * win.centre)} · W {Math.round(100 * win.width)} · {view.zoom.toFixed(1)}×
          </span>
          {(mode === "difference" || mode === "all") && <Scale kind="difference" low={`−${DIFFERENCE_LIMIT} too dark`} high={`too bright +${DIFFERENCE_LIMIT}`} />}
          {heatLayer && (
            <>
              <Scale kind="heat" low="0" high={`${heatLayer.high.toFixed(0)} bits`} />
              <Slider label="Strength" value={strength} low={0} high={1} step={0.05} text={`${Math.round(100 * strength)} %`} onInput={setStrength} />
            </>
          )}
          {heat && bits.error && <Problem>{bits.error}</Problem>}
          {shownCell !== null && heatLayer && <span>{heatLayer.values[shownCell]?.toFixed(1)} bits here</span>}
        </div>
      </div>
      <aside class="side" aria-label="About this scan">
        {steps}
        <Facts scan={scan} scans={scans} figures={decoded?.figures} edited={edits.length > 0 && !comparing} />
        {plain.error && <Problem>{plain.error}</Problem>}
        {original.error && <Problem>{original.error}</Problem>}
        {problem && <Problem>{problem}</Problem>}
        {scan.layouts && <LayerChoice layouts={scan.layouts} {...{ level, codebook }} onChange={(values) => change({ ...values, cell: values.level === undefined ? (cell ?? "") : "" })} />}
        {edits.length > 0 && (
          <div class="edits">
            <span>
              {edits.length} {edits.length === 1 ? "codeword" : "codewords"} exchanged
            </span>
            <button type="button" onClick={undo} title="Ctrl+Z">
              Undo
            </button>
            <button
              type="button"
              title="Hold to see the original codes (C)"
              aria-pressed={comparing}
              onPointerDown={() => setComparing(true)}
              onPointerUp={() => setComparing(false)}
              onPointerLeave={() => setComparing(false)}
            >
              Compare
            </button>
            <button type="button" onClick={() => change({ edits: "" }, { keep: true })}>
              Reset
            </button>
          </div>
        )}
        {layout && shownCell !== null && codeAt(shownCell) !== undefined ? (
          <>
            <div class="cellname">
              <h2>
                Cell {cells ? `${Math.floor(shownCell / cells[1]) + 1}, ${(shownCell % cells[1]) + 1}` : shownCell}
              </h2>
              {cell === null ? <span class="dim">click to keep it</span> : <Typed k={layout.k} onChoose={exchange} />}
            </div>
            <WordPanel version={`${run.version}-${surveyed}`} {...{ level, codebook }} code={codeAt(shownCell)!} onChoose={cell === null ? undefined : exchange} />
          </>
        ) : (
          <p class="hint">Point at the picture to see the codeword of a cell; click to keep the cell and exchange its codeword. Drag the wipe, turn the wheel to zoom, drag with the right button for window and level.</p>
        )}
        <div class="line saves">
          <button type="button" onClick={() => saving(`/api/scan/${scan.row}/codes.parquet`)}>
            Save codes
          </button>
          <button type="button" onClick={() => saving(`/api/scan/${scan.row}/picture.png`)}>
            Save picture
          </button>
          {run.prior && (
            <a class="button" href={href("region", scan.row)}>
              Redraw a region
            </a>
          )}
          {run.beside && (
            <a class="button" href={href("beside", scan.row, { from: params.get("from") ?? "" })}>
              Beside {run.beside.name}
            </a>
          )}
        </div>
      </aside>
    </div>
  );
}
