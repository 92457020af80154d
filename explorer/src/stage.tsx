/** The stage: one or several pictures of a scan that zoom, move and change their window together. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Window } from "./colours";
import { FITTED, type View } from "./seen";
import { useSize } from "./ui";

export type Cells = [number, number]; // rows and columns of a code grid
export type Point = { x: number; y: number }; // in shares of the picture

/** What lies over a picture: a heat map, and the code grid with the cells that are marked. */
export type Layers = {
  heat?: HTMLCanvasElement | null;
  cells?: Cells | null;
  marked?: number | null;
  hovered?: number | null;
  changed?: ReadonlySet<number>;
};
export type Pane = Layers & {
  title: string;
  picture: HTMLCanvasElement | null;
  beside?: { title: string; picture: HTMLCanvasElement | null }; // shown right of the wipe
};

type Props = {
  panes: Pane[];
  columns?: number; // of panes on a wide stage; by default all in one line
  grid?: boolean;
  strength: number; // of heat maps
  view: View;
  window: Window;
  wipe: number;
  windowing: boolean;
  smooth: boolean;
  label: string;
  onView: (view: View) => void;
  onWindow: (window: Window) => void;
  onWipe: (wipe: number) => void;
  onHover: (point: Point | null) => void;
  onPick: (point: Point | null) => void;
  onPaint?: (point: { x: number; y: number; start: boolean; erase: boolean }) => void;
};

type Box = { left: number; top: number; side: number };

/** The number of the cell at a point, in raster order. */
export const cellAt = (point: Point | null, cells: Cells | null | undefined): number | null =>
  point && cells ? Math.floor(point.y * cells[0]) * cells[1] + Math.floor(point.x * cells[1]) : null;

export function Stage(props: Props) {
  const { ref, size } = useSize<HTMLDivElement>();
  const wanted = props.columns ?? props.panes.length;
  const columns = Math.min(props.panes.length, size.width >= size.height * 1.2 ? wanted : props.columns ? 2 : 1);
  const lines = Math.ceil(props.panes.length / columns);
  const width = Math.floor((size.width - 8 * (columns - 1)) / columns);
  const height = Math.floor((size.height - 8 * (lines - 1)) / lines);
  return (
    <div class="stage" ref={ref} style={{ gridTemplateColumns: `repeat(${columns}, 1fr)` }}>
      {width > 0 && props.panes.map((pane) => <PaneView key={pane.title} {...props} pane={pane} width={width} height={height} />)}
    </div>
  );
}

function boxOf(view: View, width: number, height: number): Box {
  const side = Math.min(width, height) * view.zoom;
  return { side, left: width / 2 - view.x * side, top: height / 2 - view.y * side };
}

function PaneView(props: Props & { pane: Pane; width: number; height: number }) {
  const { pane, width, height, view } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const held = useRef<{ kind: "move" | "window" | "wipe" | "paint"; x: number; y: number; moved: boolean; erase: boolean } | null>(null);
  const touches = useRef(new Map<number, { x: number; y: number }>());
  const box = useMemo(() => boxOf(view, width, height), [view, width, height]);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const scale = devicePixelRatio;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = props.smooth;
    context.imageSmoothingQuality = "high";
    const put = (picture: HTMLCanvasElement | null) => picture && context.drawImage(picture, box.left, box.top, box.side, box.side);
    if (pane.beside) {
      const middle = box.left + props.wipe * box.side;
      put(pane.picture);
      context.save();
      context.beginPath();
      context.rect(middle, 0, width - middle, height);
      context.clip();
      context.fillRect(middle, 0, width, height);
      put(pane.beside.picture);
      context.restore();
    } else put(pane.picture);
    if (pane.heat) {
      context.save();
      context.globalAlpha = props.strength;
      context.imageSmoothingEnabled = false;
      put(pane.heat);
      context.restore();
    }
    if (pane.cells) drawCells(context, box, pane.cells, pane, props.grid);
    if (pane.beside) line(context, box.left + props.wipe * box.side, height);
  });

  const share = (event: { clientX: number; clientY: number }) => {
    const rect = canvas.current!.getBoundingClientRect();
    return { x: (event.clientX - rect.left - box.left) / box.side, y: (event.clientY - rect.top - box.top) / box.side };
  };
  const inside = (event: { clientX: number; clientY: number }): Point | null => {
    const { x, y } = share(event);
    return x < 0 || y < 0 || x >= 1 || y >= 1 ? null : { x, y };
  };

  function zoomed(factor: number, at: { x: number; y: number }) {
    const zoom = Math.min(32, Math.max(0.5, view.zoom * factor));
    const kept = view.zoom / zoom;
    props.onView(zoom <= 1.001 && zoom >= 0.999 ? FITTED : { zoom, x: at.x + (view.x - at.x) * kept, y: at.y + (view.y - at.y) * kept });
  }

  function down(event: PointerEvent) {
    canvas.current!.setPointerCapture(event.pointerId);
    touches.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const wiping = pane.beside && Math.abs(share(event).x - props.wipe) * box.side < 14;
    const kind = event.button === 2 || props.windowing ? "window" : props.onPaint && !event.shiftKey ? "paint" : wiping ? "wipe" : "move";
    held.current = { kind, x: event.clientX, y: event.clientY, moved: false, erase: event.altKey };
    if (kind === "paint") props.onPaint!({ ...share(event), start: true, erase: event.altKey });
  }

  function move(event: PointerEvent) {
    const hold = held.current;
    if (!hold) {
      const near = pane.beside && Math.abs(share(event).x - props.wipe) * box.side < 14;
      canvas.current!.style.cursor = near ? "ew-resize" : props.windowing ? "move" : "crosshair";
      props.onHover(inside(event));
      return;
    }
    const before = touches.current.get(event.pointerId);
    if (touches.current.size === 2 && before) {
      const [other] = [...touches.current].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const reach = (point: { x: number; y: number }) => Math.hypot(point.x - other.x, point.y - other.y);
      const now = { x: event.clientX, y: event.clientY };
      if (reach(before) > 10) zoomed(reach(now) / reach(before), share(event));
      touches.current.set(event.pointerId, now);
      hold.moved = true;
      return;
    }
    const [dx, dy] = [event.clientX - hold.x, event.clientY - hold.y];
    if (!hold.moved && Math.hypot(dx, dy) < 4 && hold.kind !== "paint") return;
    Object.assign(hold, { moved: true, x: event.clientX, y: event.clientY });
    if (hold.kind === "wipe") props.onWipe(Math.min(1, Math.max(0, share(event).x)));
    else if (hold.kind === "paint") props.onPaint!({ ...share(event), start: false, erase: hold.erase });
    else if (hold.kind === "window") {
      const { centre, width: wide } = props.window;
      props.onWindow({
        width: Math.min(2, Math.max(0.02, wide + dx / 300)),
        centre: Math.min(1.2, Math.max(-0.2, centre + dy / 400)),
      });
    } else if (view.zoom !== 1) props.onView({ ...view, x: view.x - dx / box.side, y: view.y - dy / box.side });
  }

  function up(event: PointerEvent) {
    const hold = held.current;
    touches.current.delete(event.pointerId);
    held.current = null;
    if (hold && !hold.moved && hold.kind === "move") props.onPick(inside(event));
  }

  return (
    <figure class="pane" style={{ width: `${width}px`, height: `${height}px` }}>
      <canvas
        ref={canvas}
        width={Math.round(width * devicePixelRatio)}
        height={Math.round(height * devicePixelRatio)}
        style={{ width: `${width}px`, height: `${height}px` }}
        role="img"
        aria-label={`${pane.title}${pane.beside ? ` beside ${pane.beside.title}` : ""} of ${props.label}`}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
        onPointerLeave={() => !held.current && props.onHover(null)}
        onContextMenu={(event) => event.preventDefault()}
        onDblClick={() => props.onView(FITTED)}
        onWheel={(event) => {
          event.preventDefault();
          zoomed(Math.exp(-event.deltaY / 500), share(event));
        }}
      />
      <figcaption class="corner left">{pane.title}</figcaption>
      {pane.beside && <span class="corner right">{pane.beside.title}</span>}
    </figure>
  );
}

function line(context: CanvasRenderingContext2D, x: number, height: number) {
  context.fillStyle = "#5fd0c5";
  context.fillRect(x - 1, 0, 2, height);
  context.beginPath();
  context.arc(x, height - 34, 11, 0, 7);
  context.fill();
  context.fillStyle = "#06201e";
  context.font = "bold 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText("↔", x, height - 29.5);
}

function drawCells(context: CanvasRenderingContext2D, box: Box, [rows, columns]: Cells, layers: Layers, grid: boolean | undefined) {
  const [wide, high] = [box.side / columns, box.side / rows];
  if (grid) {
    context.strokeStyle = "rgba(150, 220, 255, 0.28)";
    context.lineWidth = 1;
    context.beginPath();
    for (let column = 0; column <= columns; column++) {
      const x = Math.round(box.left + column * wide) + 0.5;
      context.moveTo(x, box.top);
      context.lineTo(x, box.top + box.side);
    }
    for (let row = 0; row <= rows; row++) {
      const y = Math.round(box.top + row * high) + 0.5;
      context.moveTo(box.left, y);
      context.lineTo(box.left + box.side, y);
    }
    context.stroke();
  }
  const outline = (cell: number, colour: string, thick: number) => {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.strokeRect(box.left + (cell % columns) * wide, box.top + Math.floor(cell / columns) * high, wide, high);
  };
  for (const cell of layers.changed ?? []) outline(cell, "#ffb454", 1.5);
  if (typeof layers.hovered === "number") outline(layers.hovered, "rgba(255, 255, 255, 0.85)", 1.5);
  if (typeof layers.marked === "number") outline(layers.marked, "#5fd0c5", 2.5);
}
