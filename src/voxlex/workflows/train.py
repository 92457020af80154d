"""Train a vocabulary: an autoencoder, a textured decoder and a prior over the codes. Then write a report."""

from contextlib import ExitStack, nullcontext
from pathlib import Path

from voxlex.assembly import build_shapes
from voxlex.config import Config, validated
from voxlex.data.dataset import PreparedDataset
from voxlex.data.sources import SourceLike
from voxlex.errors import DataError
from voxlex.run_folder import RunFolder
from voxlex.training.devices import launch
from voxlex.training.display import SILENCE, Display
from voxlex.training.processes import is_first_process
from voxlex.training.team import Team
from voxlex.training.threads import fixed_threads
from voxlex.workflows.check import Experiment
from voxlex.workflows.extent import check_extent, extent_of
from voxlex.workflows.opening import open_for, skipped_lines
from voxlex.workflows.plan import Stage
from voxlex.workflows.prior_data import conditions_of
from voxlex.workflows.report import write_run_report
from voxlex.workflows.stages import Stages


def train(
    source: SourceLike,
    *,
    out: Path,
    config: Config,
    stage: Stage = "all",
    resume: bool = False,
    overwrite: bool = False,
    display: Display = SILENCE,
) -> RunFolder:
    """Train a vocabulary on a source, and write a run folder.

    With several devices, one process for each device calls this function. Only the first process writes files and
    shows progress.

    Args:
        source: A folder of images, a prepared data set, "phantom", or scans in memory; see `find_source`.
        out: The run folder.
        config: The whole experiment. With `resume`, it must agree with the settings of the run.
        stage: The stage to train, or "all"; "texture" and "prior" continue a run that has an autoencoder.
        resume: Continue the run where it stopped.
        overwrite: Replace an existing run folder, or, for the stages "texture" and "prior", this stage in it.
        display: Display that shows the progress.

    Raises:
        VoxlexError: If the settings, the data or the folder cannot be used, or training fails.
        Interrupted: If training was asked to stop. The state is saved first.
        ToldElsewhere: If this process ends for a reason that another process reports.
    """
    experiment = Experiment(source, out=out, config=validated(config), stage=stage, resume=resume, overwrite=overwrite)
    with RunFolder(out).locked() if is_first_process() else nullcontext():
        return _train(experiment, display)


def _train(experiment: Experiment, display: Display) -> RunFolder:
    """Train in a folder that this process has locked."""
    experiment.check()
    config, plan = experiment.config, experiment.plan
    team = launch(experiment.fabric)
    threads = config.training.threads
    one_number = fixed_threads(None if threads == "auto" else threads)
    with one_number, team.ending_together(), team.naming_the_lost(str(experiment.out)), ExitStack() as changing:
        shown = display if team.first else SILENCE
        dataset = _opened(experiment, team, shown)
        conditions = conditions_of(config, dataset)
        plan.check_data(dataset)
        check_extent(config, extent_of(dataset), plan, processes=team.size)
        build_shapes(config, conditions)
        team.fabric.barrier()  # all processes have made their plan before the first one changes the folder
        if team.first:
            changing.enter_context(plan.carried_out(config))
        team.fabric.barrier()
        stages = Stages(
            folder=plan.folder,
            config=config,
            dataset=dataset,
            conditions=conditions,
            team=team,
            precision=experiment.precision,
            resume=plan.goes_on,
            pretrained=experiment.pretrained,
            display=shown,
        )
        stages.describe_data()
        share = plan.autoencoder_share
        autoencoder = stages.autoencoder(share) if share else stages.trained_autoencoder()
        if plan.texture_share:
            stages.texture(autoencoder, plan.texture_share)
        if plan.prior_share:
            stages.prior(autoencoder, plan.prior_share)
        team.fabric.barrier()  # from here on, no process waits for another
    if team.first:
        write_run_report(plan.folder, dataset, phases=display.phase)
    return plan.folder


def _opened(experiment: Experiment, team: Team, display: Display) -> PreparedDataset:
    """Return the images, which the first process prepares if need be, and the others then find."""
    dataset = team.in_turn(
        lambda: open_for(experiment.config, experiment.source, phases=display.phase), note="images are prepared"
    )
    for line in skipped_lines(dataset):
        display.note(line)
    prints = set(team.gathered(dataset.fingerprint))
    if len(prints) > 1:
        raise DataError(
            f"{dataset.name}: expected the same images in all processes, got fingerprints {', '.join(sorted(prints))}"
        )
    return dataset
