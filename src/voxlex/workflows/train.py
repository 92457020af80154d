"""Train a vocabulary: first an autoencoder, then a prior over its codes. Then write a report."""

from contextlib import ExitStack
from pathlib import Path

from voxlex.config import Config, validated
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ConfigError
from voxlex.outputs import check_apart
from voxlex.priors import Conditions
from voxlex.run_folder import RunFolder
from voxlex.training.devices import automatic_precision, choose_devices, launch
from voxlex.training.display import SILENCE, Display
from voxlex.training.threads import fixed_threads
from voxlex.vocabulary import load
from voxlex.workflows.opening import files_of, open_for, skipped_lines
from voxlex.workflows.plan import Stage, plan_training
from voxlex.workflows.report import write_run_report
from voxlex.workflows.stages import Stages


def train(
    source: str,
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
        source: A folder of images, a prepared data set, or "phantom".
        out: The run folder.
        config: The whole experiment. With `resume`, it must agree with the settings of the run.
        stage: The stage to train, or "all"; "prior" continues a run that has an autoencoder.
        resume: Continue the run where it stopped.
        overwrite: Replace an existing run folder, or, for the stage "prior", the prior in it.
        display: Display that shows the progress.

    Raises:
        VoxlexError: If the settings, the data or the folder cannot be used, or training fails.
        Interrupted: If training was asked to stop. The state is saved first.
        ToldElsewhere: If this process ends for a reason that another process reports.
    """
    config = validated(config)
    plan = plan_training(out, config=config, stage=stage, resume=resume, overwrite=overwrite)
    if not plan.goes_on:
        check_apart(out, files_of(source))
    accelerator, precision = config.training.accelerator, config.training.precision
    if precision == "auto":
        precision = automatic_precision(accelerator)
    fabric = choose_devices(accelerator=accelerator, devices=config.training.devices, precision=precision)
    dataset = open_for(config, source, phases=display.phase)
    for line in skipped_lines(dataset):
        display.note(line)
    conditions = _conditions(config, dataset)
    plan.check_data(dataset)

    team = launch(fabric)
    threads = config.training.threads
    one_number = fixed_threads(None if threads == "auto" else threads)
    with one_number, team.naming_the_lost(str(out)), ExitStack() as changing:
        fabric.barrier()  # all processes have made their plan before the first one changes the folder
        if team.first:
            changing.enter_context(plan.carried_out(config))
        fabric.barrier()
        stages = Stages(
            folder=plan.folder,
            config=config,
            dataset=dataset,
            conditions=conditions,
            team=team,
            precision=precision,
            resume=plan.goes_on,
            display=display if team.first else SILENCE,
        )
        stages.describe_data()
        share = plan.autoencoder_share
        autoencoder = stages.autoencoder(share) if share else load(out).autoencoder
        if plan.prior_share:
            stages.prior(autoencoder, plan.prior_share)
    if team.first:
        write_run_report(plan.folder, dataset, phases=display.phase)
    return plan.folder


def _conditions(config: Config, dataset: PreparedDataset) -> Conditions:
    """Return the conditions of the prior, from the table of the training images."""
    personal = {"path", "subject", "group"} & set(config.prior.condition_columns)
    if personal:
        raise ConfigError(
            f"prior.condition_columns: expected columns that do not name persons or files, got {min(personal)!r}; the "
            "values of conditions are kept beside the weights"
        )
    try:
        return Conditions.of(dataset.subset("train").manifest, config.prior.condition_columns)
    except ValueError as cause:
        raise ConfigError(f"prior.condition_columns: {cause}") from cause
