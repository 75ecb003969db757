"""The detectors, one concern a file. Each names the hazards it reports."""

from crashlab.diagnosis.hazards.detect.endings import EndingDetector
from crashlab.diagnosis.hazards.detect.files import FileDetector
from crashlab.diagnosis.hazards.detect.foreign import ForeignDetector
from crashlab.diagnosis.hazards.detect.forks import ForkDetector
from crashlab.diagnosis.hazards.detect.libraries import LibraryDetector
from crashlab.diagnosis.hazards.detect.missing import MissingDetector
from crashlab.diagnosis.hazards.detect.place import PlaceDetector
from crashlab.diagnosis.hazards.detect.removals import RemovalDetector
from crashlab.diagnosis.hazards.detect.renames import RenameDetector
from crashlab.diagnosis.hazards.detect.starvation import StarvationDetector
from crashlab.diagnosis.hazards.detect.uri import UriDetector
from crashlab.diagnosis.hazards.detect.writers import WriterDetector
from crashlab.diagnosis.hazards.scene import Detector

DETECTORS: tuple[type[Detector], ...] = (
    FileDetector,
    RemovalDetector,
    ForeignDetector,
    ForkDetector,
    LibraryDetector,
    UriDetector,
    PlaceDetector,
    MissingDetector,
    EndingDetector,
    WriterDetector,
    StarvationDetector,
    RenameDetector,
)
