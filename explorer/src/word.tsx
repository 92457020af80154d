/** What a codeword means: how often and where it is used, typical patches, and codewords like it. */

import { useMemo } from "preact/hooks";
import { getJson, unpacked, type Word } from "./api";
import { heatImage } from "./colours";
import { href } from "./route";
import { Grey, Problem, count, percent, useAsked } from "./ui";
import { Picture } from "./picture";

const kept = new Map<string, Word>();

/** @param base The address of the run whose codeword it is. */
function useWord(base: string, version: string, level: number, codebook: number, code: number) {
  const key = `${base}/${version}/${level}/${codebook}/${code}`;
  return useAsked<Word>(async (signal) => {
    const known = kept.get(key);
    if (known) return known;
    const word = await getJson<Word>(`${base}/word/${level}/${codebook}/${code}`, signal);
    kept.set(key, word);
    if (kept.size > 200) kept.delete(kept.keys().next().value!);
    return word;
  }, key);
}

const FEW = 10; // patches where there is little room

export function WordCard(props: { word: Word; onChoose?: (code: number) => void; current?: number; brief?: boolean }) {
  const { word } = props;
  const pixels = useMemo(() => unpacked(word.pixels), [word]);
  const near = useMemo(() => unpacked(word.near_pixels), [word]);
  const where = useMemo(() => heatImage(word.where, word.grid[1], Math.max(1, ...word.where)), [word]);
  const size = word.side ** 2;
  return (
    <section class="word" aria-label={`Codeword ${word.code}`}>
      <div class="facts">
        <dl>
          <dt>Codeword</dt>
          <dd class="big">{word.code}</dd>
          <dt>Used</dt>
          <dd>
            {count(word.uses)} times, {percent(word.share)}
          </dd>
          <dt>In scans</dt>
          <dd>
            {count(word.scans)} of {count(word.surveyed)}
          </dd>
          <dt>Rank</dt>
          <dd>{word.uses ? `${count(word.rank)} of ${count(word.of)}` : "never used"}</dd>
        </dl>
        <figure class="where">
          <Picture image={where} title="Where in the head it is used" />
          <figcaption>Where it is used</figcaption>
        </figure>
      </div>
      {word.patches.length > 0 ? (
        <>
          <h2 class="small">Typical patches</h2>
          <ul class="patches">
            {word.patches.slice(0, props.brief ? FEW : undefined).map((patch, index) => (
              <li key={index}>
                <a href={href("scan", patch.row, { cell: patch.cell, level: word.level || "", codebook: word.codebook || "" })} title={`Scan ${patch.row}`}>
                  <Grey pixels={pixels} width={word.side} offset={index * size} title={`Patch of scan ${patch.row}`} />
                </a>
              </li>
            ))}
          </ul>
        </>
      ) : (
        <p class="dim">No scan that is encoded so far uses this codeword.</p>
      )}
      {word.near.length > 0 && !props.brief && (
        <>
          <h2 class="small">{props.onChoose ? "Exchange it for one like it" : "Codewords like it"}</h2>
          <ul class="patches near">
            {word.near.map(({ code }, index) => (
              <li key={code}>
                {props.onChoose ? (
                  <button type="button" title={`Codeword ${code}`} aria-pressed={code === props.current} onClick={() => props.onChoose!(code)}>
                    <Grey pixels={near} width={word.near_side} offset={index * word.near_side ** 2} title="" />
                    <span>{code}</span>
                  </button>
                ) : (
                  <a href={href("words", `${word.level}-${word.codebook}`, { word: code })} title={`Codeword ${code}`}>
                    <Grey pixels={near} width={word.near_side} offset={index * word.near_side ** 2} title="" />
                    <span>{code}</span>
                  </a>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

export function WordPanel(props: { base?: string; version: string; level: number; codebook: number; code: number; onChoose?: (code: number) => void; brief?: boolean }) {
  const { found, error } = useWord(props.base ?? "/api", props.version, props.level, props.codebook, props.code);
  if (error) return <Problem>{error}</Problem>;
  if (!found) return <p class="dim pad">Looking it up …</p>;
  return <WordCard word={found} onChoose={props.onChoose} current={props.code} brief={props.brief} />;
}
