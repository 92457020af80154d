/** The address names what one sees: `#/view/part?name=value`. */

import { useEffect, useState } from "preact/hooks";

export type Route = { view: string; part: string; params: URLSearchParams };

export function current(): Route {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, part] = path.split("/");
  return { view: view || "scans", part: part ?? "", params: new URLSearchParams(query ?? "") };
}

export function href(view: string, part: string | number = "", params: Record<string, string | number> = {}): string {
  const query = new URLSearchParams(
    Object.entries(params)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => [name, String(value)]),
  ).toString();
  return `#/${view}${part === "" ? "" : `/${part}`}${query ? `?${query}` : ""}`;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const follow = () => setRoute(current());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

/** Changes some parameters of the address; an empty value removes one. */
export function change(values: Record<string, string | number | undefined>, { keep = false } = {}): void {
  const route = current();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === "") route.params.delete(name);
    else route.params.set(name, String(value));
  }
  const query = route.params.toString();
  const address = `#/${route.view}${route.part ? `/${route.part}` : ""}${query ? `?${query}` : ""}`;
  if (address === location.hash) return;
  if (keep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The parameters that an address to something else takes along. */
export const kept = (params: URLSearchParams, names: string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name, params.get(name) ?? ""]));

export const parsedNumber = (text: string | null, otherwise: number): number => {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : otherwise;
};
