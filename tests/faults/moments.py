"""How the moments of a run show from outside: in the processes on the host, in the database, in the journal."""

from __future__ import annotations

from collections.abc import Callable

from aftermath import NEW, OLD, Scene
from interruption import command_line, modules_on_the_host, phase

Moment = Callable[[Scene], bool]
SERVICES = 5  # processes that serve: two of the API, one of each other


def enters(name: str) -> Moment:
    """The run has entered that phase."""
    return lambda scene: phase(scene.shop) == name


def starts(words: str) -> Moment:
    """A program with these *words* in its command line is at work on the host, below the module."""
    return lambda scene: any(words in command_line(pid) for pid in modules_on_the_host(scene.lab))


def waits(words: str) -> Moment:
    """A database session waits in a statement that begins like this."""

    def look(scene: Scene) -> bool:
        query = "SELECT FROM pg_stat_activity WHERE query ILIKE %s AND wait_event_type = 'Lock'"
        with scene.lab.postgres.connect() as connection:
            return connection.execute(query, [f"{words}%"]).fetchone() is not None

    return look


def layout_is_switched(scene: Scene) -> bool:
    """The checkout has become the first release and the root a link to it; what runs is from before."""
    return scene.shop.root.is_symlink()


# How the middle of each long work shows.
LONG: dict[str, Moment] = {
    "npm ci": starts("npm ci"),
    "build": starts("run build"),
    # and not the question for their version, which the preflight asks
    "dump": starts("pg_dump --format"),
    "restore": starts("pg_restore --exit-on-error"),
    "migrations": starts("packages/db/src/migrate.ts"),
    # pm2 starts no program below a module, so a server there is one on a side port
    "candidate": starts("/server."),
    "cut-over, the new ones join": lambda scene: bool(scene.running_from(NEW)),
    "cut-over, the old ones leave": lambda scene: bool(scene.running_from(NEW)) and len(scene.running_from(OLD)) < SERVICES,
}
