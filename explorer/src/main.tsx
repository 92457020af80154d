/** The frame of the page: the run, the views, and what is open. */

import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import { getJson, wordsOf, type Run } from "./api";
import { Beside } from "./beside";
import { Grid } from "./grid";
import { href, useRoute } from "./route";
import { ScanView } from "./scan";
import { openScans, type Scans } from "./scans";
import { Region } from "./region";
import { Samples } from "./samples";
import { TrainingView } from "./training";
import { Words } from "./words";
import { Bar, Empty, Problem } from "./ui";
import "./style.css";

const VIEWS: { view: string; text: string; needs: "scans" | "words" | "prior" | "beside" | "nothing" }[] = [
  { view: "scans", text: "Scans", needs: "scans" },
  { view: "words", text: "Vocabulary", needs: "words" },
  { view: "beside", text: "Two runs", needs: "beside" },
  { view: "new", text: "New images", needs: "prior" },
  { view: "training", text: "Training", needs: "nothing" },
];

function useRun(): { run: Run | null; lost: string } {
  const [run, setRun] = useState<Run | null>(null);
  const [lost, setLost] = useState("");
  useEffect(() => {
    let timer = 0;
    const look = async () => {
      let wait = 4000;
      try {
        const found = await getJson<Run>("/api/run");
        setRun((before) => (JSON.stringify(before) === JSON.stringify(found) ? before : found));
        setLost("");
        if (found.opening.phase || (!found.loaded && !found.problems.run)) wait = 400;
      } catch (error) {
        setLost(wordsOf(error));
        wait = 1500;
      }
      timer = window.setTimeout(look, wait);
    };
    void look();
    return () => clearTimeout(timer);
  }, []);
  return { run, lost };
}

function useScans(run: Run | null): { scans: Scans | null; ticks: number; problem: string } {
  const [scans, setScans] = useState<Scans | null>(null);
  const [ticks, setTicks] = useState(0);
  const [problem, setProblem] = useState("");
  const version = run && run.scans !== null && !run.opening.phase ? run.version : null;
  useEffect(() => {
    if (version === null) return;
    let over = false;
    let timer = 0;
    openScans(run!).then(
      (found) => {
        if (over) return;
        setScans(found);
        setProblem("");
        const follow = async () => {
          try {
            if (await found.more()) setTicks((before) => before + 1);
          } catch {
            /* the next look at the run says that nobody answers */
          }
          if (!over && !found.measured && !found.failure) timer = window.setTimeout(follow, 1500);
        };
        void follow();
      },
      (error) => over || setProblem(wordsOf(error)),
    );
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [version]);
  return { scans, ticks, problem };
}

function Page() {
  const route = useRoute();
  const { run, lost } = useRun();
  const { scans, ticks, problem } = useScans(run);
  const [light, setLight] = useState(localStorage.getItem("light") === "1");
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    document.documentElement.classList.toggle("light", light);
    localStorage.setItem("light", light ? "1" : "");
  }, [light]);
  useEffect(() => {
    const name = run ? `${run.name} · voxlex` : "voxlex";
    document.title = ["scan", "beside"].includes(route.view) && scans ? `${scans.name(Number(route.part)).split("/").pop()} · ${name}` : name;
  }, [run, route, scans]);
  const tab = { scan: "scans", region: "scans", volume: "scans" }[route.view] ?? route.view;
  const views = VIEWS.filter(({ needs }) => (needs !== "prior" || run?.prior) && (needs !== "beside" || run?.beside));
  return (
    <>
      <header class="top">
        <a class="brand" href="#/scans">
          <img src="/icon.svg" alt="" width="22" height="22" />
          <span>{run?.name ?? "voxlex"}</span>
        </a>
        <nav aria-label="Views">
          {views.map(({ view, text }) => (
            <a key={view} href={href(view)} aria-current={tab === view ? "page" : undefined}>
              {text}
            </a>
          ))}
        </nav>
        <span class="source">{run?.source ? `${run.source} · ${run.scans?.toLocaleString("en")} images` : ""}</span>
        <button type="button" class="toggle" aria-pressed={light} title="A light page; pictures stay dark" onClick={() => setLight(!light)}>
          Light
        </button>
      </header>
      {lost && <Problem>{lost}</Problem>}
      {problem && <Problem>{problem}</Problem>}
      <main ref={main} class="main">
        {run === null ? <div class="waiting">Opening …</div> : <Shown {...{ run, scans, ticks, route }} />}
      </main>
    </>
  );
}

function Shown({ run, scans, ticks, route }: { run: Run; scans: Scans | null; ticks: number; route: ReturnType<typeof useRoute> }) {
  if (route.view === "training") return <TrainingView {...{ run, route }} />;
  if (route.view === "volume" && run.space?.length === 3) return <Lazy {...{ run, scans, route }} />;
  if (route.view === "new" && run.loaded) return <Samples {...{ run, scans, route }} />;
  if (!scans && (run.opening.phase || (run.scans !== null && run.loaded)))
    return (
      <div class="waiting">
        <p>{run.opening.phase ? `${run.opening.phase[0].toUpperCase()}${run.opening.phase.slice(1)} …` : "Opening the scans …"}</p>
        <Bar done={run.opening.done} total={run.opening.total} label={run.opening.phase || "Opening"} />
      </div>
    );
  if (!scans)
    return (
      <Empty title="There are no scans to show">
        {run.problems.source && <Problem>{run.problems.source}</Problem>}
        {run.problems.run && <Problem>{run.problems.run}</Problem>}
        <a class="button" href="#/training">
          The training
        </a>
      </Empty>
    );
  switch (route.view) {
    case "scans":
      return <Grid {...{ scans, route, ticks }} notes={run.notes} />;
    case "scan":
      return run.space?.length === 3 ? <Lazy {...{ run, scans, route }} /> : <ScanView {...{ run, scans, route, ticks }} />;
    case "beside":
      if (!run.beside) return <Nowhere />;
      return run.space?.length === 3 ? <Lazy {...{ run, scans, route }} /> : <Beside {...{ run, scans, route }} other={run.beside} />;
    case "words":
      return <Words {...{ run, route }} encoded={scans.encoded} total={scans.total} />;
    case "region":
      return run.prior && run.space?.length === 2 ? <Region key={route.part} {...{ run, scans, route }} /> : <Nowhere />;
    default:
      return <Nowhere />;
  }
}

type VolumeProps = { run: Run; scans: Scans | null; route: ReturnType<typeof useRoute> };

/** The viewer of volumes, which is loaded only when one is opened. */
function Lazy(props: VolumeProps) {
  const [found, setFound] = useState<{ View: ComponentType<VolumeProps> } | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    import("./volume").then(
      (module) => setFound({ View: module.default }),
      (error) => setProblem(wordsOf(error)),
    );
  }, []);
  if (problem) return <Problem>{problem}</Problem>;
  return found ? <found.View key={`${props.route.view}/${props.route.part}`} {...props} /> : <div class="waiting">Opening the viewer …</div>;
}

function Nowhere() {
  return (
    <Empty title="There is no such view">
      <a class="button" href="#/scans">
        All scans
      </a>
    </Empty>
  );
}

render(<Page />, document.getElementById("page")!);
