/** Parts of the view of a scan: what is known of it, and its codewords as they are exchanged. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { isAbort, postBytes, wordsOf, type Edit, type Level, type Scan } from "./api";
import { asCanvas, heatImage } from "./colours";
import { filterOf } from "./grid";
import { href, kept } from "./route";
import { chosen, type Scans } from "./scans";
import { Choice, shown, titleOf } from "./ui";

export const editsOf = (text: string | null): Edit[] =>
  (text ?? "").split("_").flatMap((part) => {
    const [level, codebook, cell, code] = part.split(".").map(Number);
    return part && [level, codebook, cell, code].every((number) => Number.isInteger(number) && number >= 0) ? [{ level, codebook, cell, code }] : [];
  });
export const written = (edits: Edit[]) => edits.map(({ level, codebook, cell, code }) => `${level}.${codebook}.${cell}.${code}`).join("_");

export const cellsOf = (grid: number[]) => grid.reduce((product, side) => product * side, 1);

/** The bits of the codes of a level in each cell, and as colours; all codebooks of a cell together. */
export function heatOf(bits: Float32Array, layouts: Level[], level: number) {
  const { k, q, grid } = layouts[level];
  const start = layouts.slice(0, level).reduce((sum, one) => sum + one.q * cellsOf(one.grid), 0);
  const number = cellsOf(grid);
  const values = new Float32Array(number);
  for (let book = 0; book < q; book++) for (let place = 0; place < number; place++) values[place] += bits[start + book * number + place];
  const high = Math.log2(k) * q * 1.25;
  return { picture: asCanvas(heatImage(values, grid[1], high, { clear: true })), values, high };
}

/** Chooses among the levels and codebooks of a run; nothing where there is no choice. */
export function LayerChoice(props: { layouts: Level[]; level: number; codebook: number; onChange: (values: { level?: number; codebook?: number | "" }) => void }) {
  const { layouts, level, codebook, onChange } = props;
  const q = layouts[level].q;
  if (layouts.length < 2 && q < 2) return null;
  return (
    <div class="line">
      {layouts.length > 1 && (
        <Choice
          label="Level"
          value={String(level)}
          options={layouts.map((one, index) => ({ value: String(index), text: one.grid.join("×") }))}
          onChange={(value) => onChange({ level: Number(value), codebook: "" })}
        />
      )}
      {q > 1 && (
        <label class="field">
          <span>Codebook</span>
          <select value={codebook} onChange={(event) => onChange({ codebook: Number(event.currentTarget.value) })}>
            {Array.from({ length: q }, (_, index) => (
              <option key={index} value={index}>
                {index + 1}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

export function Typed({ k, onChoose }: { k: number; onChoose: (code: number) => void }) {
  const [text, setText] = useState("");
  const code = Number(text);
  const fits = text !== "" && Number.isInteger(code) && code >= 0 && code < k;
  return (
    <form
      class="line typed"
      onSubmit={(event) => {
        event.preventDefault();
        if (fits) onChoose(code);
        setText("");
      }}
    >
      <input inputMode="numeric" aria-label={`Another codeword, 0 to ${k - 1}`} placeholder={`0 – ${k - 1}`} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      <button type="submit" disabled={!fits}>
        Exchange
      </button>
      <button type="button" title="Any codeword" onClick={() => onChoose(Math.floor(Math.random() * k))}>
        Any
      </button>
    </form>
  );
}

type FactsProps = { scan: Scan; scans: Scans; figures?: Record<string, number>; edited?: boolean; only?: string[] };

/** What is known of a scan; all of it, or only some. */
export function Facts({ scan, scans, figures, edited, only }: FactsProps) {
  const name = String(scan.facts.path ?? scan.row);
  const known: [string, string][] = Object.entries(scan.facts)
    .filter(([key]) => !only || only.includes(key))
    .filter(([key]) => !["path", "view", "bit_depth", "height", "width"].includes(key))
    .map(([key, value]) => [titleOf(key), shown(key, typeof value === "number" ? value : undefined) === "–" ? String(value) : shown(key, value as number)]);
  if (scan.facts.width && !only) known.push(["Stored", `${scan.facts.width} × ${scan.facts.height}, ${scan.facts.bit_depth} bit`]);
  for (const key of only ? [] : ["bits", "surprise"]) {
    const value = scans.value(key, scan.row);
    if (typeof value === "number") known.push([titleOf(key), shown(key, value)]);
  }
  return (
    <section class="about">
      <h1 title={name}>{name}</h1>
      <dl>
        {known.map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        {figures?.ssim !== undefined && (
          <div class={edited ? "edited" : ""}>
            <dt>SSIM · PSNR</dt>
            <dd>
              {figures.ssim.toFixed(4)} · {figures.psnr_db.toFixed(1)} dB
            </dd>
          </div>
        )}
      </dl>
    </section>
  );
}

/** The way to the next scan of the list that one comes from; what is seen of it, and how, stays. */
export function useSteps(scans: Scans, row: number, view: string, params: URLSearchParams, names: string[]) {
  const from = params.get("from") ?? "";
  const rows = useMemo(() => {
    const asked = new URLSearchParams(from);
    return chosen(scans, filterOf(scans, asked), asked.get("sort") ?? "", asked.get("order") === "down");
  }, [scans, from]);
  const place = rows.indexOf(row);
  const go = (step: number) => {
    const next = rows[place + step];
    if (next !== undefined) location.hash = href(view, next, { from, ...kept(params, [...names, "view", "window"]) });
  };
  const steps = (
    <nav class="steps" aria-label="Other scans">
      <button type="button" disabled={place <= 0} onClick={() => go(-1)} aria-label="Previous scan">
        ←
      </button>
      <a class="button" href={`#/scans${from ? `?${from}` : ""}`}>
        All scans
      </a>
      <button type="button" disabled={place < 0 || place >= rows.length - 1} onClick={() => go(1)} aria-label="Next scan">
        →
      </button>
    </nav>
  );
  return { go, steps };
}

/** Decodes exchanged codewords. While a request runs, the last picture stays; then the newest edits are decoded. */
export function useDecoded(row: number, edits: Edit[], decoding: string, tell: (problem: string) => void) {
  const [found, setFound] = useState<{ bytes: ArrayBuffer; figures: Record<string, number> } | null>(null);
  useEffect(() => {
    if (!edits.length) {
      setFound(null);
      return;
    }
    const controller = new AbortController();
    postBytes(`/api/scan/${row}/decode`, { edits, decoding }, controller.signal).then(
      (answer) => (setFound(answer), tell("")),
      (error) => isAbort(error) || tell(wordsOf(error)),
    );
    return () => controller.abort();
  }, [row, edits, decoding]);
  return found;
}

/** Pass a value on at once if none was passed on in the last `wait` ms, else when they are over, the last one alone. */
export function useLazily<T>(set: (value: T) => void, wait: number): (value: T) => void {
  const timer = useRef(0);
  const last = useRef(-wait);
  return (value) => {
    clearTimeout(timer.current);
    const pass = () => ((last.current = performance.now()), set(value));
    const rest = last.current + wait - performance.now();
    if (rest <= 0) pass();
    else timer.current = window.setTimeout(pass, rest);
  };
}
