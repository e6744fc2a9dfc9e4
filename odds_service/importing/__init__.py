"""Import of recorded bodies through the real pipeline, with the times of the recording."""

from odds_service.importing.importer import Imported, import_recordings
from odds_service.importing.recordings import Recording, Recordings

__all__ = ["Imported", "Recording", "Recordings", "import_recordings"]
