/** Parts of the view of a scan: what is known of it, and its codewords as they are exchanged. */

import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort, postBytes, wordsOf, type Edit, type Scan } from "./api";
import type { Scans } from "./scans";
import { shown, titleOf } from "./ui";

export const editsOf = (text: string | null): Edit[] =>
  (text ?? "").split("_").flatMap((part) => {
    const [level, codebook, cell, code] = part.split(".").map(Number);
    return part && [level, codebook, cell, code].every((number) => Number.isInteger(number) && number >= 0) ? [{ level, codebook, cell, code }] : [];
  });
export const written = (edits: Edit[]) => edits.map(({ level, codebook, cell, code }) => `${level}.${codebook}.${cell}.${code}`).join("_");

export const cellsOf = (grid: number[]) => grid.reduce((product, side) => product * side, 1);

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

export function Facts({ scan, scans, figures, edited }: { scan: Scan; scans: Scans; figures?: Record<string, number>; edited: boolean }) {
  const name = String(scan.facts.path ?? scan.row);
  const known: [string, string][] = Object.entries(scan.facts)
    .filter(([key]) => !["path", "view", "bit_depth", "height", "width"].includes(key))
    .map(([key, value]) => [titleOf(key), shown(key, typeof value === "number" ? value : undefined) === "–" ? String(value) : shown(key, value as number)]);
  if (scan.facts.width) known.push(["Stored", `${scan.facts.width} × ${scan.facts.height}, ${scan.facts.bit_depth} bit`]);
  for (const key of ["bits", "surprise"]) {
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

export function useLazily<T>(set: (value: T) => void, wait: number): (value: T) => void {
  const timer = useRef(0);
  return (value) => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => set(value), wait);
  };
}
