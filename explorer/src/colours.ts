/** Grey values and measures as colours. */

type Colour = [number, number, number];

// Black means no difference, as suits dark images. Colour-blind people can tell blue from orange, too.
const DIFFERENCE: [number, Colour][] = [
  [-1, [160, 220, 255]],
  [-0.5, [35, 115, 220]],
  [0, [0, 0, 0]],
  [0.5, [220, 90, 15]],
  [1, [255, 225, 130]],
];
const HEAT: [number, Colour][] = [
  [0, [12, 8, 38]],
  [0.25, [87, 16, 110]],
  [0.5, [188, 55, 84]],
  [0.75, [249, 142, 9]],
  [1, [252, 255, 164]],
];

function between(stops: [number, Colour][], value: number): Colour {
  const limited = Math.min(Math.max(value, stops[0][0]), stops[stops.length - 1][0]);
  const after = Math.max(
    1,
    stops.findIndex(([place]) => limited <= place),
  );
  const [low, start] = stops[after - 1];
  const [high, end] = stops[after];
  const share = (limited - low) / (high - low);
  return [0, 1, 2].map((channel) => Math.round(start[channel] + share * (end[channel] - start[channel]))) as Colour;
}

const table = (stops: [number, Colour][]) => {
  const [low, high] = [stops[0][0], stops[stops.length - 1][0]];
  const colours = Array.from({ length: 256 }, (_, index) => between(stops, low + ((high - low) * index) / 255));
  return Uint8Array.from(colours.flat());
};
export const DIFFERENCE_COLOURS = table(DIFFERENCE);
export const HEAT_COLOURS = table(HEAT);

/** The largest difference that colours show, as a share of the grey values. It is fixed, so that errors compare. */
export const DIFFERENCE_LIMIT = 0.1;

/** Window and level in shares of all grey values. */
export type Window = { centre: number; width: number };
export const WHOLE: Window = { centre: 0.5, width: 1 };

export function greyImage(pixels: Uint16Array, side: number, { centre, width }: Window): ImageData {
  const image = new ImageData(side, pixels.length / side);
  const words = new Uint32Array(image.data.buffer);
  const [low, scale] = [65535 * (centre - width / 2), 255 / (65535 * width)];
  for (let index = 0; index < pixels.length; index++) {
    const grey = Math.min(255, Math.max(0, Math.round((pixels[index] - low) * scale)));
    words[index] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return image;
}

export function differenceImage(first: Uint16Array, second: Uint16Array, side: number): ImageData {
  const image = new ImageData(side, first.length / side);
  for (let index = 0; index < first.length; index++) {
    const share = (second[index] - first[index]) / 65535 / DIFFERENCE_LIMIT;
    const place = 3 * Math.min(255, Math.max(0, Math.round(127.5 * (1 + share))));
    image.data.set([DIFFERENCE_COLOURS[place], DIFFERENCE_COLOURS[place + 1], DIFFERENCE_COLOURS[place + 2], 255], 4 * index);
  }
  return image;
}

/** Values as colours from 0 to `high`; the colour of 0 is transparent if `clear`. */
export function heatImage(values: ArrayLike<number>, width: number, high: number, { clear = false } = {}): ImageData {
  const image = new ImageData(width, values.length / width);
  for (let index = 0; index < values.length; index++) {
    const level = Math.min(255, Math.max(0, Math.round((255 * values[index]) / (high || 1))));
    const alpha = clear ? Math.min(255, 3 * level) : 255;
    image.data.set([...HEAT_COLOURS.subarray(3 * level, 3 * level + 3), alpha], 4 * index);
  }
  return image;
}

export function ofBytes(pixels: Uint8Array, side: number): ImageData {
  const image = new ImageData(side, pixels.length / side);
  const words = new Uint32Array(image.data.buffer);
  for (let index = 0; index < pixels.length; index++) words[index] = 0xff000000 | (pixels[index] * 0x010101);
  return image;
}

export function asCanvas(image: ImageData, canvas = document.createElement("canvas")): HTMLCanvasElement {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}
