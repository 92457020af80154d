/** Follows the long jobs of the server, which go on when the page is reloaded. */

import { useEffect, useState } from "preact/hooks";
import { getBytes, getJson, postJson, type Job, type Run } from "./api";
import { change } from "./route";
import { Bar } from "./ui";

export const isOver = (job: Job) => job.state === "done" || job.state === "failed" || job.state === "cancelled";

export function useJobs(kind: Job["kind"]) {
  const [jobs, setJobs] = useState<Job[] | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let timer = 0;
    let over = false;
    const look = async () => {
      try {
        const found = (await getJson<Job[]>("/api/jobs")).filter((job) => job.kind === kind);
        if (over) return;
        setJobs((before) => (JSON.stringify(before) === JSON.stringify(found) ? before : found));
        if (found.some((job) => !isOver(job))) timer = window.setTimeout(look, 250);
      } catch {
        if (!over) timer = window.setTimeout(look, 2000);
      }
    };
    void look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [kind, turn]);
  const again = () => setTurn((before) => before + 1);
  return {
    jobs,
    start: async (address: string, request: unknown): Promise<Job> => {
      const job = await postJson<Job>(address, request);
      again();
      return job;
    },
    cancel: (job: Job) => postJson(`/api/jobs/${job.number}/cancel`).then(again, again),
    discard: (job: Job) => postJson(`/api/jobs/${job.number}/discard`).then(again, again),
  };
}

const pictures = new Map<string, Promise<Uint16Array>>();

/** The pixels of a picture that a job has drawn. They do not change while the run has the same weights, so they are kept. */
export function drawnBy(run: Run, job: Job, index: number): Promise<Uint16Array> {
  const key = `/api/jobs/${job.number}/image/${index}?seed=${job.results[index]?.seed}&v=${run.version}`;
  let found = pictures.get(key);
  if (!found) {
    found = getBytes(key).then((bytes) => new Uint16Array(bytes));
    found.catch(() => pictures.delete(key));
    pictures.set(key, found);
    if (pictures.size > 300) pictures.delete(pictures.keys().next().value!);
  }
  return found;
}

/** How far a job is, and a way to stop it. */
export function Running({ job, label, cancel }: { job: Job; label: string; cancel: (job: Job) => void }) {
  return (
    <div class="running">
      <span>{job.state === "waiting" ? "Waiting for its turn" : `Drawing: ${job.results.length} of ${String(job.request.count)}`}</span>
      <Bar done={job.done} total={job.total} label={label} />
      <button type="button" onClick={() => cancel(job)}>
        Cancel
      </button>
    </div>
  );
}

/** The seed of the first picture, and how many there are to be. */
export function SeedAndCount({ seed, count, title, most }: { seed: number; count: number; title: string; most: number }) {
  return (
    <>
      <label class="stacked">
        <span>Seed</span>
        <input type="number" min={0} step={1} value={seed} onChange={(event) => change({ seed: event.currentTarget.value })} />
      </label>
      <label class="stacked">
        <span>{title}</span>
        <input type="number" min={1} max={most} step={1} value={count} onChange={(event) => change({ count: event.currentTarget.value })} />
      </label>
    </>
  );
}
