/** Held-out images and their reconstructions, as they were after each validation of a training. */

import { useEffect, useRef } from "preact/hooks";
import { getBytes, type Validations as About } from "./api";
import { DIFFERENCE_LIMIT, differenceImage } from "./colours";
import { change, parsedNumber } from "./route";
import { Problem, Scale, Slider, count, useAsked } from "./ui";

/** Reads a grey picture as 16-bit numbers, as all pictures here are compared. */
async function pixelsOf(address: string, signal: AbortSignal): Promise<{ pixels: Uint16Array; width: number }> {
  const picture = await createImageBitmap(new Blob([await getBytes(address, signal)], { type: "image/png" }));
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d")!;
  context.drawImage(picture, 0, 0);
  const colours = context.getImageData(0, 0, picture.width, picture.height).data;
  return { pixels: Uint16Array.from({ length: colours.length / 4 }, (_, index) => colours[4 * index] * 257), width: picture.width };
}

export function Validations({ stage, about, params }: { stage: string; about: About; params: URLSearchParams }) {
  const { found, error } = useAsked((signal) => pixelsOf(`/api/training/${stage}.validations.png?t=${about.changed}`, signal), `${stage}/${about.changed}`);
  const canvas = useRef<HTMLCanvasElement>(null);
  const steps = about.rows.map((row) => row.step);
  const last = steps.length - 1;
  const asked = parsedNumber(params.get("step"), NaN);
  const place = Number.isNaN(asked) ? last : Math.max(0, steps.findLastIndex((step) => step <= asked));
  const row = about.rows[place];
  const line = about.images * about.width * about.height;
  const fits = found && found.pixels.length === line * (1 + about.rows.length);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !fits) return;
    const [original, result] = [found.pixels.subarray(0, line), found.pixels.subarray((1 + place) * line, (2 + place) * line)];
    context.putImageData(greyOf(original, found.width), 0, 0);
    context.putImageData(greyOf(result, found.width), 0, about.height);
    context.putImageData(differenceImage(original, result, found.width), 0, 2 * about.height);
  }, [found, fits, place]);
  if (error) return <Problem>{error}</Problem>;
  const facts = [`step ${count(row.step)}`, `${duration(row.elapsed_s)}`];
  if (row.ssim !== undefined) facts.push(`SSIM ${row.ssim.toFixed(3)}`);
  if (row.psnr_db !== undefined) facts.push(`${row.psnr_db.toFixed(1)} dB`);
  return (
    <section class="validations" aria-label="Held-out images after each validation">
      <header class="line">
        <h2>Held-out images</h2>
        {last > 0 && <Slider label="Validation" value={place} low={0} high={last} step={1} text={`${place + 1} of ${last + 1}`} onInput={(value) => change({ step: value === last ? "" : steps[value] })} />}
        <span class="facts">{facts.join(" · ")}</span>
        <Scale kind="difference" low={`−${DIFFERENCE_LIMIT}`} high={`+${DIFFERENCE_LIMIT}`} />
      </header>
      <div class="rows-of-pictures">
        <canvas
          ref={canvas}
          width={about.images * about.width}
          height={3 * about.height}
          role="img"
          aria-label={`${about.images} held-out images, their reconstructions after ${row.step} steps, and the differences`}
        />
        {["Original", "Reconstruction", "Difference"].map((title) => (
          <span key={title} class="corner left">
            {title}
          </span>
        ))}
      </div>
    </section>
  );
}

const duration = (seconds: number) => (seconds < 120 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`);

function greyOf(pixels: Uint16Array, width: number): ImageData {
  const image = new ImageData(width, pixels.length / width);
  pixels.forEach((value, index) => image.data.fill(value >> 8, 4 * index, 4 * index + 3).fill(255, 4 * index + 3, 4 * index + 4));
  return image;
}
