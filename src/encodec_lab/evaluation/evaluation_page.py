"""The page of an evaluation: rows, and examples of everything that took part."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from encodec_lab.data.convert import convert_audio
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.baselines import MissingSystem
from encodec_lab.evaluation.codebook_usage import CodebookUsage, measure_codebook_usage
from encodec_lab.evaluation.domain import domain_of
from encodec_lab.evaluation.evaluate import Contender, Evaluation
from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.listening import LONGEST_S, ListeningExample
from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.evaluation.scored_metrics import ScoredMetric
from encodec_lab.evaluation.training_log import TrainingRecord
from encodec_lab.evaluation.transmission import CodecSystem, Transmitted
from encodec_lab.models.encodec import EncodecModel

# Codes are counted by encoding once more, in this process.
MAX_USAGE_FILES = 20


def write_page(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    evaluation: Evaluation,
    contenders: Sequence[Contender],
    missing: Sequence[MissingSystem],
    metrics: Sequence[ScoredMetric],
    training: Sequence[TrainingRecord] = (),
    usage_files: Sequence[Path] = (),
) -> None:
    """Write the page; the first file of each domain is there to listen to, and with one codec alone its codebooks.

    `facts` come after what can be told from the evaluation; codes are counted on `usage_files`, or some of
    what the codec was evaluated on.
    """
    rows = evaluation.rows
    codecs = [one.system for one in contenders if isinstance(one.system, CodecSystem)]
    first_by_domain = {row.domain: row.file for row in reversed(rows)}
    examples = []
    for _, file in sorted(first_by_domain.items()):
        versions = {(row.system, row.bandwidth_kbps) for row in rows if row.file == file}
        examples.append(make_example(contenders, Path(file), versions))
    codebooks: list[CodebookUsage] = []
    if len(codecs) == 1:
        encoded = dict.fromkeys(row.file for row in rows if row.system == codecs[0].name)
        if files := usage_files or _evenly_among([Path(file) for file in encoded], MAX_USAGE_FILES):
            codebooks = measure_codebook_usage(codecs[0].model, files)
    content = ReportContent(
        title=title,
        facts={**evaluation_facts(codecs, evaluation, contenders, missing), **facts},
        rows=rows,
        examples=examples,
        training=training,
        codebooks=codebooks,
        metrics=metrics,
    )
    write_report(path, content)


def make_example(
    contenders: Sequence[Contender],
    path: Path,
    versions: Collection[tuple[str, float | None]] | None = None,
) -> ListeningExample:
    """The first 8 s of a file through everything, brought to the highest sample rate that takes part.

    `versions` are the systems, by name, and bandwidths that did not fail with this file; None for all.
    """
    rate_hz, channels = max((one.sample_rate_hz, one.channels) for one in contenders)
    decoded = []
    for one in contenders:
        original = read_converted(path, one.sample_rate_hz, one.channels)
        original = original[:, : int(LONGEST_S * one.sample_rate_hz)]
        for kbps in one.system.bandwidths:
            if versions is not None and (one.system.name, kbps) not in versions:
                continue
            sent = one.system.transmit(original, one.sample_rate_hz, kbps)
            wav = convert_audio(sent.wav, one.sample_rate_hz, rate_hz, channels)
            decoded.append(Transmitted(sent.system, sent.bandwidth_kbps, sent.true_kbps, wav))
    original = read_converted(path, rate_hz, channels)[:, : int(LONGEST_S * rate_hz)]
    return ListeningExample(path.name, domain_of(path), rate_hz, original, decoded)


def evaluation_facts(
    codecs: Sequence[CodecSystem],
    evaluation: Evaluation,
    contenders: Sequence[Contender],
    missing: Sequence[MissingSystem],
) -> dict[str, str]:
    """What took part, on what, and what is not there, by name."""
    facts = model_facts(codecs[0].model) if len(codecs) == 1 else {}
    for codec in codecs if len(codecs) > 1 else ():
        described = model_facts(codec.model)
        facts[codec.name] = f"{described['model']}; {described['audio']}; {codec.identity}"
    baselines = [one.system for one in contenders if one.system.bandwidths != (None,)]
    facts |= {one.name: one.identity for one in baselines if not isinstance(one, CodecSystem)}
    facts |= {one.name: one.reason for one in missing}
    facts["evaluated on"] = _audio_fact(evaluation.rows)
    if failures := describe_failures(evaluation):
        facts["not evaluated"] = failures
    return facts


def describe_failures(evaluation: Evaluation) -> str:
    """How many files failed, in whole or in part, and the first of them; empty if none did."""
    if not evaluation.failures:
        return ""
    first = evaluation.failures[0]
    through = f" through {first.system}" if first.system else ""
    num_files = len({failure.file for failure in evaluation.failures})
    return f"{num_files} file{'s' if num_files > 1 else ''}, such as {first.file}{through}: {first.reason}"


def model_facts(model: EncodecModel) -> dict[str, str]:
    """What a reader wants to know of a codec, by name."""
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    channels = "mono" if model.channels == 1 else "stereo"
    causality = "causal" if model.config.causal else "not causal"
    bandwidths = ", ".join(f"{kbps:g}" for kbps in model.target_bandwidths)
    return {
        "model": f"{model.name}, {num_parameters / 1e6:.2f} M parameters",
        "audio": f"{model.sample_rate / 1000:g} kHz {channels}, {causality}",
        "bandwidths": f"{bandwidths} kbps",
        "codebooks": f"{model.config.num_codebooks} of {model.config.codebook_size:,} codes, {model.frame_rate} Hz",
    }


def _evenly_among(files: Sequence[Path], num_most: int) -> list[Path]:
    """At most so many, of all parts of the list."""
    num = min(num_most, len(files))
    return [files[index * len(files) // num] for index in range(num)]


def _audio_fact(rows: Sequence[EvaluationRow]) -> str:
    durations = {row.file: row.duration_s for row in rows}
    return f"{len(durations)} files, {sum(durations.values()):.0f} s"
