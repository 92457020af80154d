/** View 1: all scans as small pictures that scroll, filter and sort. */

import { Component } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { asCanvas, ofBytes } from "./colours";
import { change, href, type Route } from "./route";
import { chosen, type Filter, type Scans } from "./scans";
import { Bar, Choice, Empty, Problem, count, shown, titleOf, useSize } from "./ui";

const SIDES = { s: 84, m: 124, l: 188 } as const;
const CAPTION = 22;
const GAP = 6;
const scratch = document.createElement("canvas");
const BEYOND = 3; // rows that are kept ready above and below

type StripProps = { scans: Scans; rows: Int32Array; first: number; columns: number; side: number; top: number; sort: string; query: string; focused: number; figures: number };

/** One row of the grid. It is drawn once, and moves with the page. */
class Strip extends Component<StripProps> {
  private canvas: HTMLCanvasElement | null = null;
  private drawn = new Set<number>();
  private unlisten = () => {};

  shouldComponentUpdate(next: StripProps): boolean {
    return (Object.keys(next) as (keyof StripProps)[]).some((key) => next[key] !== this.props[key]);
  }

  componentDidMount() {
    this.draw();
    this.unlisten = this.props.scans.listen(() => this.draw());
  }

  componentDidUpdate(before: StripProps) {
    const { scans, rows, columns, side } = this.props;
    if (before.scans !== scans || before.rows !== rows || before.columns !== columns || before.side !== side) this.drawn.clear();
    this.draw();
  }

  componentWillUnmount() {
    this.unlisten();
  }

  private draw() {
    const context = this.canvas?.getContext("2d");
    if (!context) return;
    const { scans, rows, first, columns } = this.props;
    const thumb = scans.table.thumb.side;
    const [wide, step] = [this.props.side * devicePixelRatio, (this.props.side + GAP) * devicePixelRatio];
    for (let column = 0; column < columns && first + column < rows.length; column++) {
      if (this.drawn.has(column)) continue;
      const pixels = scans.thumb(rows[first + column]);
      if (!pixels) continue;
      context.imageSmoothingQuality = "high";
      context.drawImage(asCanvas(ofBytes(pixels, thumb), scratch), Math.round(column * step), 0, wide, wide);
      this.drawn.add(column);
    }
  }

  render({ scans, rows, first, columns, side, top, sort, query, focused }: StripProps) {
    const tiles = [];
    for (let place = first; place < Math.min(first + columns, rows.length); place++) {
      const row = rows[place];
      const name = scans.name(row);
      const value = sort && sort !== "path" ? scans.value(sort, row) : null;
      const figure = typeof value === "number" ? shown(sort, value) : (value ?? "");
      tiles.push(
        <div role="listitem" key={row} aria-posinset={place + 1} aria-setsize={rows.length} style={{ width: `${side}px` }}>
          <a class="tile" href={href("scan", row, query ? { from: query } : {})} data-place={place} tabIndex={place === focused ? 0 : -1} title={name} style={{ height: `${side + CAPTION}px` }}>
            <span class="caption">
              <span class="name">{scans.caption(row)}</span>
              {figure !== "" && <span class="figure">{figure}</span>}
            </span>
          </a>
        </div>,
      );
    }
    return (
      <div class="strip" role="presentation" style={{ transform: `translateY(${top}px)`, gap: `${GAP}px` }}>
        <canvas
          ref={(canvas) => {
            if (canvas !== this.canvas) this.drawn.clear();
            this.canvas = canvas;
          }}
          key={`${columns}-${side}-${rows.length}`}
          width={Math.round((side + GAP) * tiles.length * devicePixelRatio)}
          height={Math.round(side * devicePixelRatio)}
          style={{ width: `${(side + GAP) * tiles.length}px`, height: `${side}px` }}
          class="pixels"
          aria-hidden="true"
        />
        {tiles}
      </div>
    );
  }
}

export function Grid({ scans, route, ticks, notes }: { scans: Scans; route: Route; ticks: number; notes: string[] }) {
  const params = route.params;
  const query = params.toString();
  const sort = params.get("sort") ?? "";
  const descending = params.get("order") === "down";
  const side = SIDES[(params.get("size") ?? "m") as keyof typeof SIDES] ?? SIDES.m;
  const needs = [sort, ...[...params.keys()].map((key) => key.replace(/^(low|high)-/, ""))].some((name) => scans.figures.has(name));
  const rows = useMemo(() => chosen(scans, filterOf(scans, params), sort, descending), [scans, query, needs ? ticks : 0]);
  return (
    <div class="scans">
      <h1 class="unseen">Scans</h1>
      <Tools scans={scans} params={params} rows={rows.length} ticks={ticks} notes={notes} />
      {rows.length === 0 ? (
        <Empty title="No scan fits">
          <p>Nothing among {count(scans.table.rows)} scans passes this search and these filters.</p>
          <a class="button" href="#/scans">
            Show all scans
          </a>
        </Empty>
      ) : (
        <Wall scans={scans} rows={rows} least={side} sort={sort} query={query} ticks={ticks} />
      )}
    </div>
  );
}

function Wall({ scans, rows, least, sort, query, ticks }: { scans: Scans; rows: Int32Array; least: number; sort: string; query: string; ticks: number }) {
  const { ref, size } = useSize<HTMLDivElement>();
  const [top, setTop] = useState(0);
  const [focused, setFocused] = useState(0);
  const columns = Math.max(1, Math.floor((size.width - 20 + GAP) / (least + GAP)));
  const side = size.width > 0 ? Math.floor((size.width - 20 + GAP) / columns) - GAP : least;
  const height = side + CAPTION + GAP;
  const lines = Math.ceil(rows.length / columns);
  const start = Math.max(0, Math.floor(top / height) - BEYOND);
  const end = Math.min(lines, Math.ceil((top + size.height) / height) + BEYOND);
  useEffect(() => {
    ref.current?.scrollTo(0, 0);
    setFocused(0);
  }, [rows]);

  function move(event: KeyboardEvent) {
    const page = columns * Math.max(1, Math.floor(size.height / height) - 1);
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.min(rows.length - 1, Math.max(0, focused + step));
    setFocused(next);
    const place = Math.floor(next / columns) * height;
    const box = ref.current!;
    if (place < box.scrollTop) box.scrollTop = place;
    else if (place + height > box.scrollTop + box.clientHeight) box.scrollTop = place + height - box.clientHeight;
    requestAnimationFrame(() => requestAnimationFrame(() => box.querySelector<HTMLElement>(`[data-place="${next}"]`)?.focus({ preventScroll: true })));
  }

  const strips = [];
  if (size.width > 0)
    for (let line = start; line < end; line++)
      strips.push(
        <Strip
          key={line}
          {...{ scans, rows, side, sort, query, columns }}
          first={line * columns}
          top={line * height}
          focused={Math.floor(focused / columns) === line ? focused : -1}
          figures={scans.figures.has(sort) ? ticks : 0}
        />,
      );
  return (
    <div class="wall" ref={ref} onScroll={(event) => setTop(event.currentTarget.scrollTop)} onKeyDown={move} tabIndex={-1}>
      <div role="list" aria-label="Scans" style={{ height: `${lines * height}px` }}>
        {strips}
      </div>
    </div>
  );
}

export function filterOf(scans: Scans, params: URLSearchParams): Filter {
  const filter: Filter = { search: params.get("search") ?? "", equal: new Map(), low: new Map(), high: new Map() };
  const names = new Set(scans.names());
  for (const [key, value] of params) {
    const [kind, name] = /^(is|low|high)-(.+)$/.exec(key)?.slice(1) ?? [];
    if (!kind || !names.has(name)) continue;
    if (kind === "is") filter.equal.set(name, value);
    else if (Number.isFinite(Number(value)) && value !== "") (kind === "low" ? filter.low : filter.high).set(name, Number(value));
  }
  return filter;
}

function Tools({ scans, params, rows, ticks, notes }: { scans: Scans; params: URLSearchParams; rows: number; ticks: number; notes: string[] }) {
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);
  const categories = useMemo(() => categoriesOf(scans), [scans]);
  const numbers = scans.names().filter((name) => scans.figures.has(name) || scans.columns.get(name)?.numeric);
  const ranged = numbers.find((name) => params.has(`low-${name}`) || params.has(`high-${name}`));
  const [picked, setPicked] = useState(ranged ?? numbers[0]);
  const sort = params.get("sort") ?? "";
  const down = params.get("order") === "down";
  void ticks;
  return (
    <div class="tools">
      <div class="line">
        <input
          ref={search}
          type="search"
          placeholder="Search names  ( / )"
          aria-label="Search names and labels"
          value={params.get("search") ?? ""}
          onInput={(event) => change({ search: event.currentTarget.value })}
        />
        {categories.map(({ name, values }) => (
          <label key={name} class="field">
            <span>{titleOf(name)}</span>
            <select value={params.get(`is-${name}`) ?? ""} onChange={(event) => change({ [`is-${name}`]: event.currentTarget.value })}>
              <option value="">all</option>
              {values.map(([value, number]) => (
                <option key={value} value={value}>
                  {value} ({count(number)})
                </option>
              ))}
            </select>
          </label>
        ))}
        <label class="field">
          <span>Sort by</span>
          <select value={sort} onChange={(event) => change({ sort: event.currentTarget.value })}>
            <option value="">order of the table</option>
            {scans.names().map((name) => (
              <option key={name} value={name}>
                {titleOf(name)}
              </option>
            ))}
          </select>
        </label>
        <button type="button" disabled={!sort} aria-label={down ? "Descending; sort ascending" : "Ascending; sort descending"} onClick={() => change({ order: down ? "" : "down" })}>
          {down ? "↓" : "↑"}
        </button>
        <fieldset class="field range">
          <legend class="unseen">Limits</legend>
          <select aria-label="Column to limit" value={picked} onChange={(event) => setPicked(event.currentTarget.value)}>
            {numbers.map((name) => (
              <option key={name} value={name}>
                {titleOf(name)}
              </option>
            ))}
          </select>
          {(["low", "high"] as const).map((kind) => (
            <input
              key={`${kind}-${picked}`}
              type="number"
              step="any"
              placeholder={kind === "low" ? "from" : "to"}
              aria-label={`${titleOf(picked)} ${kind === "low" ? "from" : "to"}`}
              value={params.get(`${kind}-${picked}`) ?? ""}
              onChange={(event) => change({ [`${kind}-${picked}`]: event.currentTarget.value })}
            />
          ))}
        </fieldset>
        <Choice
          label="Size of the pictures"
          value={(params.get("size") ?? "m") as "s" | "m" | "l"}
          options={[
            { value: "s", text: "S" },
            { value: "m", text: "M" },
            { value: "l", text: "L" },
          ]}
          onChange={(size) => change({ size: size === "m" ? "" : size })}
        />
        <output class="rows">
          {rows === scans.table.rows ? `${count(rows)} scans` : `${count(rows)} of ${count(scans.table.rows)} scans`}
        </output>
      </div>
      {notes.length > 0 && (
        <details class="notes">
          <summary>{notes.length === 1 ? "A note" : `${notes.length} notes`} on these scans</summary>
          <ul>
            {notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </details>
      )}
      {scans.failure && <Problem>The figures are incomplete: {scans.failure}</Problem>}
      {!scans.measured && scans.total > 0 && !scans.failure && <Measuring scans={scans} />}
    </div>
  );
}

function Measuring({ scans }: { scans: Scans }) {
  const coding = scans.encoded < scans.total;
  const [done, what] = coding ? [scans.encoded, "Encoding scans"] : [scans.scored, "Scoring codes under the prior"];
  return (
    <div class="measuring">
      <span>
        {what}: {count(done)} of {count(scans.total)}
      </span>
      <Bar done={done} total={scans.total} label={what} />
    </div>
  );
}

function categoriesOf(scans: Scans): { name: string; values: [string, number][] }[] {
  const found = [];
  for (const column of scans.columns.values()) {
    if (column.numeric || column.name === "path") continue;
    const counts = new Map<string, number>();
    for (const value of column.values) counts.set(String(value ?? ""), (counts.get(String(value ?? "")) ?? 0) + 1);
    if (counts.size > 1 && counts.size <= 60) found.push({ name: column.name, values: [...counts].filter(([value]) => value !== "").sort() });
  }
  return found as { name: string; values: [string, number][] }[];
}
