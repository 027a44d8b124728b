"""Model files: DATA_DIR/models/<version>.json, written whole or not at all."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from services.prediction.core.models import BrokenModel, Model


class Artifacts:
    """The folder of model files. Calls block for a few milliseconds: use them from a thread."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "models"

    def path(self, version: str) -> Path:
        return self._folder / f"{version}.json"

    def save(self, model: Model) -> str:
        """Writes the file, durable and atomic; the SHA-256 of its bytes."""
        content = model.to_bytes()
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path(model.version))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return sha256(content).hexdigest()

    def load(self, version: str, digest: str) -> Model:
        """The model of that version. Raises BrokenModel where the file is missing or its bytes are not those saved."""
        try:
            content = self.path(version).read_bytes()
        except OSError as error:
            raise BrokenModel(f"{self.path(version)} can't be read: {error.strerror}") from None
        if sha256(content).hexdigest() != digest:
            raise BrokenModel(f"{self.path(version)} is damaged")
        return Model.from_bytes(content)
