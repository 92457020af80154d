/** How well each of two runs keeps a scan, and for how many bits. */

import type { Level, Measures } from "./api";
import { count } from "./ui";

type Column = { name: string; measures: Measures | null; layouts: Level[] };

/** The measures: what they are called, how they are written, and whether more is better. */
const LINES: { title: string; value: (one: Measures) => number | null; text: (value: number) => string; more?: boolean }[] = [
  { title: "SSIM", value: (one) => one.ssim, text: (value) => value.toFixed(4), more: true },
  { title: "PSNR", value: (one) => one.psnr_db, text: (value) => `${value.toFixed(1)} dB`, more: true },
  { title: "Bits, with prior", value: (one) => one.bits, text: (value) => count(Math.round(value)), more: false },
  { title: "Bits, without", value: (one) => one.raw_bits, text: (value) => count(Math.round(value)), more: false },
  { title: "Bits per pixel", value: ({ bits, pixels }) => (bits === null ? null : bits / pixels), text: (value) => value.toFixed(3), more: false },
  { title: "Codes", value: (one) => one.codes, text: count },
];

/** The same in one line, where there is little room. */
export const measuresLine = ({ ssim, psnr_db, bits, raw_bits, pixels }: Measures): string =>
  `SSIM ${ssim.toFixed(4)} · PSNR ${psnr_db.toFixed(1)} dB · ${count(Math.round(bits ?? raw_bits))} bits${bits === null ? " without a prior" : ""}, ${((bits ?? raw_bits) / pixels).toFixed(3)} for each voxel`;

export function MeasuresTable({ runs }: { runs: Column[] }) {
  return (
    <table class="measures">
      <thead>
        <tr>
          <td />
          {runs.map((run) => (
            <th key={run.name} scope="col">
              {run.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {LINES.map(({ title, value, text, more }) => {
          const found = runs.map(({ measures }) => (measures ? value(measures) : null));
          const known = found.filter((one) => one !== null);
          const best = more === undefined || known.length < runs.length || new Set(known).size < 2 ? null : more ? Math.max(...known) : Math.min(...known);
          return (
            <tr key={title}>
              <th scope="row">{title}</th>
              {found.map((one, index) => (
                <td key={index} class={one !== null && one === best ? "best" : ""}>
                  {one === null ? (runs[index].measures ? "no prior" : "…") : text(one)}
                </td>
              ))}
            </tr>
          );
        })}
        <tr>
          <th scope="row">Grid</th>
          {runs.map(({ layouts }, index) => (
            <td key={index}>
              {layouts.map(({ grid, q, k }, level) => (
                <div key={level}>
                  {grid.join("×")}
                  {q > 1 && ` × ${q}`} of {count(k)}
                </div>
              ))}
            </td>
          ))}
        </tr>
      </tbody>
    </table>
  );
}
