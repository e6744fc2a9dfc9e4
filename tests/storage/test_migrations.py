"""The scripts of the migrations, as alembic finds them."""

from pathlib import Path

from alembic.script import ScriptDirectory

from odds_service.storage import migrations
from odds_service.storage.migrating import VERSIONS


def test_the_known_versions_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
    assert tuple(script.revision for script in scripts) == VERSIONS[::-1]
