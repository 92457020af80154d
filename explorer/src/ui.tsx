/** Small parts of the page, and numbers in words. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export const count = (value: number) => value.toLocaleString("en");
export const percent = (value: number) => `${(100 * value).toFixed(value < 0.01 ? 2 : 1)} %`;

export function shown(name: string, value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (name === "ssim") return value.toFixed(3);
  if (name === "psnr_db") return value.toFixed(1);
  if (name === "bits" || name === "surprise") return value.toFixed(2);
  return Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString();
}

export const TITLES: Record<string, string> = {
  path: "Name",
  ssim: "SSIM",
  psnr_db: "PSNR (dB)",
  bits: "Bits per code",
  surprise: "Surprise (bits)",
};
export const titleOf = (name: string) => TITLES[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

export function Problem({ children }: { children: ComponentChildren }) {
  return (
    <p class="problem" role="alert">
      {children}
    </p>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Bar({ done, total, label }: { done: number; total: number; label: string }) {
  const share = total > 0 ? done / total : 0;
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(100 * share)}>
      <div class={total > 0 ? "fill" : "fill unknown"} style={{ width: `${total > 0 ? 100 * share : 30}%` }} />
    </div>
  );
}

/** One of several choices, as buttons beside each other. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: { value: T; text: string; title?: string; disabled?: boolean }[];
  onChange: (value: T) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(({ value, text, title, disabled }) => (
        <button
          key={value}
          type="button"
          title={title}
          disabled={disabled}
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

export function Toggle(props: { on: boolean; text: string; title?: string; disabled?: boolean; onChange: (on: boolean) => void }) {
  return (
    <button type="button" class="toggle" title={props.title} disabled={props.disabled} aria-pressed={props.on} onClick={() => props.onChange(!props.on)}>
      {props.text}
    </button>
  );
}

export function Slider(props: {
  label: string;
  value: number;
  low: number;
  high: number;
  step: number;
  text?: string;
  onInput: (value: number) => void;
}) {
  return (
    <label class="slider">
      <span>{props.label}</span>
      <input
        type="range"
        min={props.low}
        max={props.high}
        step={props.step}
        value={props.value}
        onInput={(event) => props.onInput(Number(event.currentTarget.value))}
      />
      <output>{props.text ?? props.value}</output>
    </label>
  );
}

export function Scale({ kind, low, high }: { kind: "difference" | "heat"; low: string; high: string }) {
  return (
    <span class="scale">
      {low} <span class={`ramp ${kind}`} /> {high}
    </span>
  );
}

/** A grey picture of 8-bit pixels at its own size, enlarged by the style sheet. */
export function Grey(props: { pixels: Uint8Array; width: number; height?: number; offset?: number; title?: string; class?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = props.height ?? props.width;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(props.width, height);
    const start = props.offset ?? 0;
    for (let index = 0; index < props.width * height; index++) {
      image.data.fill(props.pixels[start + index], 4 * index, 4 * index + 3);
      image.data[4 * index + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }, [props.pixels, props.width, height, props.offset]);
  return <canvas ref={canvas} class={props.class ?? "grey"} width={props.width} height={height} {...(props.title ? { role: "img", "aria-label": props.title } : { "aria-hidden": "true" })} />;
}

/** Asks for something whenever `key` changes. What is asked for when the next comes is given up. */
export function useAsked<T>(ask: (signal: AbortSignal) => Promise<T>, key: string | null): { found: T | null; error: string; pending: boolean } {
  const [state, setState] = useState<{ found: T | null; error: string; pending: boolean; key: string | null }>({
    found: null,
    error: "",
    pending: key !== null,
    key: null,
  });
  useEffect(() => {
    if (key === null) {
      setState({ found: null, error: "", pending: false, key });
      return;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, pending: true }));
    ask(controller.signal).then(
      (found) => setState({ found, error: "", pending: false, key }),
      (error: unknown) => {
        if (controller.signal.aborted) return;
        setState({ found: null, error: error instanceof Error ? error.message : String(error), pending: false, key });
      },
    );
    return () => controller.abort();
  }, [key]);
  return state;
}

/** The size of an element as it changes. */
export function useSize<E extends HTMLElement>() {
  const ref = useRef<E>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    if (!ref.current) return;
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      setSize((before) => (before.width === width && before.height === height ? before : { width, height }));
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return { ref, size };
}
