"""The metrics of an evaluation, each with what a table or a plot must know of it."""

from dataclasses import dataclass

from encodec_lab.metrics import Metric, mel_distance, pesq, si_snr, stoi, visqol


@dataclass(frozen=True)
class ScoredMetric:
    """One column of an evaluation.

    Attributes:
        name: of the column, with the unit.
        label: for people.
        unit: for people; empty for a dimensionless number.
        function: `(reference, degraded, sample_rate_hz) -> float`, raising `NotScored`.
        higher_is_better: which way is up.
        num_decimals: how many are shown.
        explanation: one line for the page.
    """

    name: str
    label: str
    unit: str
    function: Metric
    higher_is_better: bool
    num_decimals: int
    explanation: str

    @property
    def heading(self) -> str:
        """The label with the unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


SI_SNR = ScoredMetric(
    "si_snr_db",
    "SI-SNR",
    "dB",
    si_snr,
    True,
    2,
    "Scale-invariant signal-to-noise ratio, the mean over channels.",
)
MEL_DISTANCE = ScoredMetric(
    "mel_distance",
    "Mel distance",
    "",
    mel_distance,
    False,
    3,
    "Difference of mel spectrograms on two time scales, as Codec-SUPERB defines it.",
)
PESQ = ScoredMetric(
    "pesq",
    "PESQ",
    "MOS-LQO",
    pesq,
    True,
    2,
    "Wide-band PESQ of the mono mix at 16 kHz, 1.04 to 4.64; made for speech.",
)
STOI = ScoredMetric(
    "stoi", "STOI", "", stoi, True, 3, "Intelligibility of the mono mix, up to 1; made for speech."
)
VISQOL = ScoredMetric(
    "visqol",
    "ViSQOL",
    "MOS-LQO",
    visqol,
    True,
    2,
    "ViSQOL in audio mode of the mono mix at 48 kHz, 1 to 4.73; made for music and speech.",
)

METRICS = (SI_SNR, MEL_DISTANCE, PESQ, STOI)
# ViSQOL takes about half a second of one core for ten seconds of audio.
METRICS_WITH_VISQOL = (*METRICS, VISQOL)
# Those of every validation in training: quick, and at home with any kind of audio.
VALIDATION_METRICS = (SI_SNR, MEL_DISTANCE)
