/** What the server answers, and how it is asked. */

export type Level = { k: number; q: number; grid: number[] };
export type Condition = { name: string; values?: string[]; low?: number; high?: number };
export type Run = {
  name: string;
  version: string;
  opening: { phase: string; done: number; total: number };
  problems: { run?: string; source?: string };
  loaded: boolean;
  scans: number | null;
  source: string | null;
  stages: Record<string, { steps: number; minutes: number }>;
  notes: string[];
  space?: number[];
  levels?: Level[];
  downsampling?: number;
  prior?: boolean;
  exact?: boolean;
  texture?: boolean;
  spacing_mm?: number | null;
  conditions?: Condition[];
  beside?: Run | null; // the run that is shown beside this one
};
export type Measures = { ssim: number; psnr_db: number; codes: number; raw_bits: number; bits: number | null; pixels: number };
export type Column = { name: string; numeric: boolean; values: (string | number | null)[] };
export type Table = { rows: number; columns: Column[]; fingerprint: string; thumb: { side: number; block: number } };
export type Figures = {
  encoded: number;
  scored: number;
  total: number;
  scores: boolean;
  failure: string;
  rows: number[];
  figures: Record<string, (number | null)[]>;
};
export type Scan = {
  row: number;
  facts: Record<string, string | number>;
  shape: number[];
  codes: number[][];
  layouts?: Level[];
};
export type Near = { code: number; distance: number };
export type Word = {
  level: number;
  codebook: number;
  code: number;
  uses: number;
  share: number;
  scans: number;
  rank: number;
  of: number;
  surveyed: number;
  grid: number[];
  where: number[];
  side: number;
  inner: number;
  patches: { row: number; cell: number }[];
  pixels: string;
  near: Near[];
  near_side: number;
  near_pixels: string;
};
export type WordMap = {
  codes: number[];
  uses: number[];
  places: [number, number, number, number][];
  side: number;
  patches: string;
  dead: number;
  total: number;
  surveyed: number;
  of: number;
};
export type Result = { seed: number; row?: number; distance?: number; copy?: boolean };
export type Job = {
  number: number;
  kind: "sample" | "region";
  request: Record<string, unknown>;
  state: "waiting" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number;
  error: string;
  results: Result[];
  sketch: { seed: number; step: number } | null; // what is being drawn
};
/** Held-out images and their reconstructions in one picture: the originals, and a row for each validation. */
export type Validations = { images: number; height: number; width: number; changed: number; rows: { step: number; elapsed_s: number; ssim?: number; psnr_db?: number }[] };
export type Training = {
  curves: { stage: string; name: string; points: [number, number, number][] }[];
  stages: { name: string; finished: boolean }[];
  changed: number;
  pictures: Record<string, number>;
  validations: Record<string, Validations>;
  minutes: number | null;
  steps: number | null;
};
export type Edit = { level: number; codebook: number; cell: number; code: number };

/** An error that the server has put into words, or the words for a server that does not answer. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

const tab = crypto.randomUUID?.() ?? Math.random().toString(36).slice(2);

async function ask(address: string, init: RequestInit = {}): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    let response: Response;
    try {
      response = await fetch(address, { ...init, headers: { "x-voxlex-tab": tab } });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Refused("The explorer does not answer. Start it again; this page then goes on.", 0);
    }
    if (response.ok) return response;
    if (response.status === 503 && attempt < 8) {
      await new Promise((go) => setTimeout(go, 250 * (attempt + 1)));
      continue;
    }
    const words = await response.json().then(
      (body) => String(body.error),
      () => `The explorer answered ${response.status}.`,
    );
    throw new Refused(words, response.status);
  }
}

export const isAbort = (error: unknown) => error instanceof DOMException && error.name === "AbortError";
export const wordsOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

export async function getJson<T>(address: string, signal?: AbortSignal): Promise<T> {
  return (await ask(address, { signal })).json();
}

/** What is found, with the figures about it. */
export async function getFigured(address: string, signal?: AbortSignal): Promise<{ bytes: ArrayBuffer; figures: Record<string, number> }> {
  const response = await ask(address, { signal });
  return { figures: JSON.parse(response.headers.get("x-voxlex-figures") ?? "{}"), bytes: await response.arrayBuffer() };
}

export async function postJson<T>(address: string, body: unknown = {}): Promise<T> {
  return (await ask(address, { method: "POST", body: JSON.stringify(body) })).json();
}

export async function getBytes(address: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await ask(address, { signal })).arrayBuffer();
}

export async function postBytes(
  address: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<{ bytes: ArrayBuffer; figures: Record<string, number> }> {
  const response = await ask(address, { method: "POST", body: JSON.stringify(body), signal });
  const figures = JSON.parse(response.headers.get("x-voxlex-figures") ?? "{}");
  return { bytes: await response.arrayBuffer(), figures };
}

/** Saves what the server makes, under the name that it gives. */
export async function save(address: string, body?: unknown): Promise<void> {
  const response = await ask(address, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
  const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "voxlex";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function unpacked(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
