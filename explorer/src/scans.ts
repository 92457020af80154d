/** The table of the scans with their figures, which arrive one after another, and small pictures of them. */

import { getBytes, getJson, type Column, type Figures, type Run, type Table } from "./api";

const FIGURES = ["ssim", "psnr_db", "bits", "surprise"];
const MOST_BYTES = 192 * 2 ** 20;

export class Scans {
  readonly columns = new Map<string, Column>();
  readonly figures = new Map<string, Float32Array>();
  encoded = 0;
  scored = 0;
  total = 0;
  scores = false;
  failure = "";
  private readonly unique: boolean;
  private order: number[] = [];
  private thumbs = new Map<number, Uint8Array>();
  private asked = new Set<number>();
  private listeners = new Set<() => void>();

  constructor(
    readonly table: Table,
    readonly version: string,
  ) {
    for (const column of table.columns) this.columns.set(column.name, column);
    const paths = this.columns.get("path")?.values.map(String) ?? [];
    this.unique = new Set(paths.map((path) => path.slice(path.lastIndexOf("/") + 1))).size === paths.length;
    for (const name of FIGURES) this.figures.set(name, new Float32Array(table.rows).fill(NaN));
  }

  get measured(): boolean {
    return this.total > 0 && this.encoded >= this.total && (!this.scores || this.scored >= this.total);
  }

  names(): string[] {
    const known = FIGURES.filter((name) => this.scores || (name !== "bits" && name !== "surprise"));
    return [...this.columns.keys(), ...known];
  }

  value(name: string, row: number): string | number | null {
    const figures = this.figures.get(name);
    if (!figures) return this.columns.get(name)?.values[row] ?? null;
    return Number.isNaN(figures[row]) ? null : figures[row];
  }

  name(row: number): string {
    return String(this.value("path", row) ?? row);
  }

  /** The name of the file, with its folder where many files have the same name. */
  caption(row: number): string {
    const parts = this.name(row).split("/");
    return this.unique ? parts[parts.length - 1] : parts.slice(-2).join("/").replace(/\.\w+(\.gz)?$/, "");
  }

  async more(): Promise<boolean> {
    const found = await getJson<Figures>(`/api/figures?encoded=${this.encoded}&scored=${this.scored}`);
    if (found.rows.length) this.order = found.rows;
    const changed = found.encoded !== this.encoded || found.scored !== this.scored || found.total !== this.total;
    for (const [name, values] of Object.entries(found.figures)) {
      const start = name === "bits" || name === "surprise" ? this.scored : this.encoded;
      const kept = this.figures.get(name)!;
      values.forEach((value, index) => (kept[this.order[start + index]] = value ?? NaN));
    }
    Object.assign(this, { encoded: found.encoded, scored: found.scored, total: found.total, scores: found.scores, failure: found.failure });
    return changed;
  }

  /** Returns the pixels of a small picture, or nothing yet; listeners hear when it has come. */
  thumb(row: number): Uint8Array | null {
    const { block, side } = this.table.thumb;
    const number = Math.floor(row / block);
    const found = this.thumbs.get(number);
    if (!found) {
      void this.load(number);
      return null;
    }
    this.thumbs.delete(number);
    this.thumbs.set(number, found);
    const start = (row % block) * side * side;
    return found.subarray(start, start + side * side);
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private async load(number: number): Promise<void> {
    if (this.asked.has(number)) return;
    this.asked.add(number);
    try {
      const bytes = await getBytes(`/api/thumbs/${number}?v=${this.table.fingerprint}`);
      this.thumbs.set(number, new Uint8Array(bytes));
      const most = Math.max(8, Math.floor(MOST_BYTES / bytes.byteLength));
      for (const old of this.thumbs.keys()) {
        if (this.thumbs.size <= most) break;
        this.thumbs.delete(old);
      }
      for (const listener of this.listeners) listener();
    } catch {
      setTimeout(() => this.listeners.forEach((listener) => listener()), 1000); // asked for again when it is drawn
    } finally {
      this.asked.delete(number);
    }
  }
}

export async function openScans(run: Run): Promise<Scans> {
  const scans = new Scans(await getJson<Table>("/api/scans"), run.version);
  await scans.more();
  return scans;
}

export type Filter = { search: string; equal: Map<string, string>; low: Map<string, number>; high: Map<string, number> };

/** Returns the rows that pass a filter, in order. Rows without a value come last. */
export function chosen(scans: Scans, filter: Filter, sort: string, descending: boolean): Int32Array {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = [...scans.columns.values()].filter((column) => !column.numeric);
  const rows: number[] = [];
  for (let row = 0; row < scans.table.rows; row++) {
    if (words.length) {
      const text = texts.map((column) => column.values[row]).join(" ").toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
    }
    let passes = true;
    for (const [name, value] of filter.equal) passes &&= String(scans.value(name, row) ?? "") === value;
    for (const [name, value] of filter.low) passes &&= Number(scans.value(name, row) ?? NaN) >= value;
    for (const [name, value] of filter.high) passes &&= Number(scans.value(name, row) ?? NaN) <= value;
    if (passes) rows.push(row);
  }
  if (sort) {
    const sign = descending ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, scans.value(sort, row)]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a)!, keys.get(b)!];
      if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return sign * order || a - b;
    });
  }
  return Int32Array.from(rows);
}
