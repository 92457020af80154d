/** View 3: the codewords of a codebook on a map where like lies by like. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getJson, unpacked, type Run, type WordMap } from "./api";
import { asCanvas, heatImage, ofBytes } from "./colours";
import { change, href, parsedNumber, type Route } from "./route";
import { Choice, Empty, Problem, Scale, Toggle, count, percent, useAsked, useSize } from "./ui";
import { WordPanel } from "./word";

type Colouring = "patches" | "use";

export function Words({ run, route, encoded, total }: { run: Run; route: Route; encoded: number; total: number }) {
  const levels = run.levels ?? [];
  const [level, codebook] = (route.part || `${levels.length - 1}-0`).split("-").map((text) => parsedNumber(text, 0));
  const whole = total > 0 && encoded >= total;
  // While scans are encoded, the map is drawn anew now and then, not with each batch.
  const step = whole ? "whole" : String(Math.floor(Math.log2(Math.max(1, encoded)) * 2));
  const { found, error } = useAsked<WordMap>(
    (signal) => getJson(`/api/words/${level}/${codebook}`, signal),
    encoded > 0 ? `${run.version}/${level}/${codebook}/${step}` : null,
  );
  const [kept, setKept] = useState<WordMap | null>(null);
  useEffect(() => void (found && setKept(found)), [found]);
  const params = route.params;
  const map = found ?? kept;
  const word = params.has("word") ? parsedNumber(params.get("word"), 0) : null;
  const marking = params.get("mark") === "rare";
  const colouring = (params.get("colour") ?? "patches") as Colouring;
  if (!map)
    return error && encoded > 0 ? (
      <Empty title="The map cannot be drawn">
        <Problem>{error}</Problem>
      </Empty>
    ) : (
      <div class="waiting">{encoded > 0 ? "Drawing the map …" : "The first scans are being encoded …"}</div>
    );
  const rare = map.uses.filter((uses) => uses < 10).length;
  return (
    <div class="scan">
      <h1 class="unseen">Vocabulary</h1>
      <div class="work">
        <div class="tools line">
          {levels.length > 1 && (
            <Choice
              label="Level"
              value={String(level)}
              options={levels.map((one, index) => ({ value: String(index), text: `Level ${index + 1}: ${one.grid.join("×")}` }))}
              onChange={(value) => (location.hash = href("words", `${value}-0`))}
            />
          )}
          {(levels[level]?.q ?? 1) > 1 && (
            <label class="field">
              <span>Codebook</span>
              <select value={codebook} onChange={(event) => (location.hash = href("words", `${level}-${event.currentTarget.value}`))}>
                {Array.from({ length: levels[level].q }, (_, index) => (
                  <option key={index} value={index}>
                    {index + 1}
                  </option>
                ))}
              </select>
            </label>
          )}
          <Choice
            label="Colour"
            value={colouring}
            options={[
              { value: "patches", text: "What they decode to" },
              { value: "use", text: "How often they are used" },
            ]}
            onChange={(value) => change({ colour: value === "patches" ? "" : value })}
          />
          <Toggle on={marking} text="Mark the rare" title="Codewords that are used fewer than 10 times" onChange={(on) => change({ mark: on ? "rare" : "" })} />
          <label class="field">
            <span>Codeword</span>
            <input
              type="number"
              min={0}
              max={map.total - 1}
              aria-label="Codeword to show"
              value={word ?? ""}
              onChange={(event) => change({ word: event.currentTarget.value })}
            />
          </label>
        </div>
        <Map map={map} word={word} colouring={colouring} marking={marking} />
        <div class="status">
          <span>
            {count(map.codes.length)} of {count(map.total)} codewords in use
          </span>
          <span>{count(rare)} rare: fewer than 10 times</span>
          <span>
            {count(map.dead)} dead: {percent(map.dead / map.total)}
          </span>
          {map.surveyed < map.of && (
            <span>
              so far, in {count(map.surveyed)} of {count(map.of)} scans
            </span>
          )}
          {colouring === "use" && <Scale kind="heat" low="once" high={`${count(Math.max(...map.uses))} times`} />}
        </div>
      </div>
      <aside class="side" aria-label="About a codeword">
        {error && <Problem>{error}</Problem>}
        {word !== null ? (
          <WordPanel version={`${run.version}-${map.surveyed}`} level={level} codebook={codebook} code={word} />
        ) : (
          <>
            <h2>Vocabulary</h2>
            <p class="hint">
              Each field is a codeword, and shows what the decoder makes of it. Like lies by like: neighbours have similar vectors. The larger a field, the more often the codeword is
              used (its area follows the square root). Click one to see where in the head it is used, and the patches that it stands for. Dead codewords are not used by any scan, and
              have no field.
            </p>
            <Shares map={map} />
          </>
        )}
      </aside>
    </div>
  );
}

/** How the use spreads over the codewords, from the most used on. */
function Shares({ map }: { map: WordMap }) {
  const sum = map.uses.reduce((total, uses) => total + uses, 0);
  const needed = (share: number) => {
    let [reached, number] = [0, 0];
    for (const uses of map.uses) {
      number++;
      if ((reached += uses) >= share * sum) break;
    }
    return number;
  };
  return (
    <dl class="shares">
      {[0.5, 0.9, 0.99].map((share) => (
        <div key={share}>
          <dt>{percent(share).replace(".0", "")} of all codes</dt>
          <dd>{count(needed(share))} codewords</dd>
        </div>
      ))}
    </dl>
  );
}

function Map({ map, word, colouring, marking }: { map: WordMap; word: number | null; colouring: Colouring; marking: boolean }) {
  const { ref, size } = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  const patches = useMemo(() => unpacked(map.patches), [map]);
  const base = useMemo(() => {
    const picture = document.createElement("canvas");
    const scale = devicePixelRatio;
    [picture.width, picture.height] = [Math.max(1, Math.round(size.width * scale)), Math.max(1, Math.round(size.height * scale))];
    const context = picture.getContext("2d")!;
    const cells = map.side ** 2;
    const most = Math.log(1 + Math.max(1, ...map.uses));
    const colours = heatImage(map.uses.map((uses) => Math.log(1 + uses)), map.uses.length, most).data;
    context.imageSmoothingEnabled = true;
    const scratch = document.createElement("canvas");
    map.places.forEach(([x, y, width, height], index) => {
      const [left, top] = [x * picture.width, y * picture.height];
      const [wide, high] = [Math.max(0.5, width * picture.width - 1), Math.max(0.5, height * picture.height - 1)];
      if (colouring === "use") {
        context.fillStyle = `rgb(${colours[4 * index]} ${colours[4 * index + 1]} ${colours[4 * index + 2]})`;
        context.fillRect(left, top, wide, high);
      } else context.drawImage(asCanvas(ofBytes(patches.subarray(index * cells, (index + 1) * cells), map.side), scratch), left, top, wide, high);
      if (marking && map.uses[index] < 10) {
        context.strokeStyle = "#ffb454";
        context.lineWidth = scale;
        context.strokeRect(left + 0.5, top + 0.5, wide - 1, high - 1);
      }
    });
    return picture;
  }, [map, patches, size, colouring, marking]);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !size.width) return;
    const scale = devicePixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(base, 0, 0);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const outline = (index: number, colour: string, thick: number) => {
      if (index < 0) return;
      const [x, y, width, height] = map.places[index];
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.strokeRect(x * size.width - 1, y * size.height - 1, width * size.width + 1, height * size.height + 1);
    };
    if (hovered !== null) outline(hovered, "#ffffff", 2);
    if (word !== null) outline(map.codes.indexOf(word), "#5fd0c5", 3);
  });

  const at = (event: MouseEvent): number | null => {
    const rect = canvas.current!.getBoundingClientRect();
    const [x, y] = [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
    const index = map.places.findIndex(([left, top, width, height]) => x >= left && x < left + width && y >= top && y < top + height);
    return index < 0 ? null : index;
  };
  const move = (event: KeyboardEvent) => {
    const own = map.places[Math.max(0, map.codes.indexOf(word ?? map.codes[0]))];
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const x = own[0] + own[2] / 2 + dx * (own[2] / 2 + 0.002);
    const y = own[1] + own[3] / 2 + dy * (own[3] / 2 + 0.002);
    const next = map.places.findIndex(([left, top, width, height]) => x >= left && x < left + width && y >= top && y < top + height);
    if (next >= 0) change({ word: map.codes[next] });
  };
  return (
    <div class="stage map" ref={ref}>
      {size.width > 0 && (
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-label={`Map of ${map.codes.length} codewords; arrow keys move to the neighbours`}
          width={Math.round(size.width * devicePixelRatio)}
          height={Math.round(size.height * devicePixelRatio)}
          style={{ width: `${size.width}px`, height: `${size.height}px` }}
          onPointerMove={(event) => setHovered(at(event))}
          onPointerLeave={() => setHovered(null)}
          onClick={(event) => {
            const index = at(event);
            change({ word: index === null || map.codes[index] === word ? "" : map.codes[index] });
          }}
          onKeyDown={move}
        />
      )}
      {hovered !== null && (
        <div class="corner left">
          Codeword {map.codes[hovered]} · {count(map.uses[hovered])} times
        </div>
      )}
    </div>
  );
}
