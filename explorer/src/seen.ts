/** What part of a picture one sees, with which window: the address names both. */

import { useEffect, useState } from "preact/hooks";
import { WHOLE, type Window } from "./colours";
import { change, parsedNumber } from "./route";

export type View = { zoom: number; x: number; y: number }; // the middle of the stage in shares of the picture
export const FITTED: View = { zoom: 1, x: 0.5, y: 0.5 };

const written = (...values: number[]) => values.map((value) => Number(value.toFixed(3))).join("_");

function read(text: string | null, otherwise: number[]): number[] {
  const values = (text ?? "").split("_");
  return otherwise.map((value, index) => parsedNumber(values[index] ?? null, value));
}

export function useSeen(params: URLSearchParams) {
  const [view, setView] = useState<View>(() => {
    const [zoom, x, y] = read(params.get("view"), [1, 0.5, 0.5]);
    return { zoom: Math.min(32, Math.max(0.5, zoom)), x, y };
  });
  const [win, setWindow] = useState<Window>(() => {
    const [centre, width] = read(params.get("window"), [0.5, 1]);
    return { centre, width: Math.min(2, Math.max(0.02, width)) };
  });
  useEffect(() => {
    // A wheel turns faster than browsers let addresses change.
    const timer = window.setTimeout(() => {
      const whole = win.centre === WHOLE.centre && win.width === WHOLE.width;
      change({ view: view.zoom === 1 ? "" : written(view.zoom, view.x, view.y), window: whole ? "" : written(win.centre, win.width) });
    }, 250);
    return () => clearTimeout(timer);
  }, [view, win]);
  const fit = () => (setView(FITTED), setWindow(WHOLE));
  return { view, win, setView, setWindow, fit };
}
