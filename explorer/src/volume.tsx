/** View 6: a volume in three linked planes and a rendering, with its reconstruction beside it. */

import { Niivue, SHOW_RENDER } from "@niivue/niivue";
import { useEffect, useRef, useState } from "preact/hooks";
import { wordsOf, type Run } from "./api";
import { change, href, type Route } from "./route";
import type { Scans } from "./scans";
import { Choice, Problem, Slider, shown, titleOf } from "./ui";

const OVERLAYS = { none: "None", difference: "Difference", bits: "Bits" } as const;
type Overlay = keyof typeof OVERLAYS;

export default function Volume({ run, scans, route }: { run: Run; scans: Scans | null; route: Route }) {
  const drawn = /^job-(\d+)-(\d+)$/.exec(route.part);
  const row = drawn ? null : Number(route.part);
  const overlay = ((route.params.get("overlay") ?? "none") in OVERLAYS ? (route.params.get("overlay") ?? "none") : "none") as Overlay;
  const [opacity, setOpacity] = useState(0.6);
  const [problem, setProblem] = useState("");
  const [place, setPlace] = useState("");
  const left = useRef<HTMLCanvasElement>(null);
  const right = useRef<HTMLCanvasElement>(null);
  const viewers = useRef<Niivue[]>([]);
  const [ready, setReady] = useState(0);

  useEffect(() => {
    let over = false;
    const made: Niivue[] = [];
    const open = async () => {
      const canvases = [left.current, right.current].filter((canvas) => canvas !== null);
      for (const canvas of canvases) {
        const viewer = new Niivue({
          backColor: [0, 0, 0, 1],
          crosshairColor: [0.37, 0.82, 0.77, 0.9],
          crosshairWidth: 0.2,
          show3Dcrosshair: true,
          multiplanarShowRender: SHOW_RENDER.ALWAYS,
          isRadiologicalConvention: true,
          loadingText: "",
          dragAndDropEnabled: false,
          isCornerOrientationText: true,
        });
        viewer.onLocationChange = (location) => setPlace(String((location as { string?: string }).string ?? ""));
        await viewer.attachToCanvas(canvas);
        viewer.setSliceType(viewer.sliceTypeMultiplanar);
        made.push(viewer);
      }
      if (over) return;
      const addresses = drawn
        ? [`/api/jobs/${drawn[1]}/image/${drawn[2]}/file?show=1&v=${run.version}`]
        : ["original", "reconstruction"].map((kind) => `/api/volume/${row}/${kind}.nii?v=${run.version}`);
      await Promise.all(made.map((viewer, index) => viewer.loadVolumes([{ url: addresses[index], name: `${index}.nii`, colormap: "gray" }])));
      if (over) return;
      if (made.length === 2) {
        made[0].broadcastTo([made[1]], { "2d": true, "3d": true });
        made[1].broadcastTo([made[0]], { "2d": true, "3d": true });
      }
      viewers.current = made;
      setProblem("");
      setReady((before) => before + 1);
    };
    open().catch((error) => over || setProblem(`The volume cannot be shown: ${wordsOf(error)}`));
    return () => {
      over = true;
      viewers.current = [];
      for (const viewer of made) viewer.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    };
  }, [route.part, run.version]);

  useEffect(() => {
    let over = false;
    const lay = async () => {
      for (const viewer of viewers.current) {
        while (viewer.volumes.length > 1) viewer.removeVolume(viewer.volumes[viewer.volumes.length - 1]);
        if (overlay === "none" || row === null) continue;
        const range = overlay === "bits" ? { cal_min: 2, cal_max: 12 } : { cal_min: 0.02, cal_max: 0.2 };
        await viewer.addVolumeFromUrl({ url: `/api/volume/${row}/${overlay}.nii?v=${run.version}`, name: `${overlay}.nii`, colormap: "inferno", opacity, ...range });
        if (over) return;
      }
    };
    lay().then(() => over || setProblem(""), (error) => over || setProblem(`The overlay cannot be shown: ${wordsOf(error)}`));
    return () => void (over = true);
  }, [overlay, ready, row]);
  useEffect(() => {
    for (const viewer of viewers.current) if (viewer.volumes.length > 1) viewer.setOpacity(1, opacity);
  }, [opacity]);

  const name = row === null ? `New volume ${Number(drawn![2]) + 1}` : (scans?.name(row) ?? "");
  const facts = row === null || !scans ? [] : (["split", "label", "ssim", "psnr_db", "bits"] as const).map((key) => [key, scans.value(key, row)] as const).filter(([, value]) => value !== null);
  return (
    <div class="volume">
      <div class="tools line">
        <a class="button" href={row === null ? href("new") : "#/scans"}>
          {row === null ? "New images" : "All scans"}
        </a>
        <h1>{name}</h1>
        {facts.map(([key, value]) => (
          <span key={key} class="dim">
            {titleOf(key)} {typeof value === "number" ? shown(key, value) : value}
          </span>
        ))}
        {row !== null && (
          <>
            <Choice
              label="Overlay"
              value={overlay}
              options={(Object.keys(OVERLAYS) as Overlay[]).filter((key) => key !== "bits" || run.prior).map((key) => ({ value: key, text: OVERLAYS[key] }))}
              onChange={(value) => change({ overlay: value === "none" ? "" : value })}
            />
            {overlay !== "none" && <Slider label="Strength" value={opacity} low={0} high={1} step={0.05} text={`${Math.round(100 * opacity)} %`} onInput={setOpacity} />}
          </>
        )}
      </div>
      {problem && <Problem>{problem}</Problem>}
      <div class={`planes ${drawn ? "one" : ""}`}>
        <figure class="pane">
          <canvas ref={left} role="img" aria-label={`${drawn ? "New volume" : "Original"}: three planes and a rendering of ${name}`} />
          <figcaption class="corner left">{drawn ? "New volume" : "Original"}</figcaption>
        </figure>
        {!drawn && (
          <figure class="pane">
            <canvas ref={right} role="img" aria-label={`Reconstruction: three planes and a rendering of ${name}`} />
            <figcaption class="corner left">Reconstruction</figcaption>
          </figure>
        )}
      </div>
      <div class="status">
        <span>{place || "Click in a plane to move all of them · scroll to go through slices · drag with the right button for the window"}</span>
      </div>
    </div>
  );
}
