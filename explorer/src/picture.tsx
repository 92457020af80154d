/** A picture of its own size, enlarged by the style sheet. */

import { useEffect, useRef } from "preact/hooks";

export function Picture({ image, title, class: name }: { image: ImageData; title: string; class?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => canvas.current?.getContext("2d")?.putImageData(image, 0, 0), [image]);
  return <canvas ref={canvas} class={name ?? "grey"} width={image.width} height={image.height} role="img" aria-label={title} />;
}
