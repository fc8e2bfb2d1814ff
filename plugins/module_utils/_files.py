# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to files and links that are there whole or not at all, whatever is killed when."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import tempfile
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_AT_FDCWD = -100  # linux/fcntl.h
_RENAME_EXCHANGE = 2  # linux/fs.h


def fsync_directory(path: str) -> None:
    """Make renames inside *path* survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: str, content: str, mode: int = 0o600) -> None:
    """Replace *path* by a file with *content*; a reader sees the old or the new one, never a part."""
    directory = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    fsync_directory(directory)


def write_json(path: str, value: t.Any, mode: int = 0o600) -> None:
    """Replace *path* by *value* as indented JSON."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode)


def link_atomic(target: str, link: str) -> None:
    """Make *link* a symbolic link to *target*, replacing a link that is there.

    The documented shell form is ``ln -s T tmp && mv -T tmp L``; ``ln -sfn`` unlinks first and leaves a gap.
    """
    if os.path.lexists(link) and not os.path.islink(link):
        raise EcommusError(f"{link} is in the way: it is not a link", "move it aside, then run again")
    temporary = f"{link}.{os.getpid()}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    fsync_directory(os.path.dirname(link))


def hold(descriptor: int, timeout: float, busy: EcommusError) -> None:
    """Take the kernel's lock on an open file or directory (flock(2)); it is let go when the last process closes it, however that ends.

    :param timeout: seconds to wait.
    :raises EcommusError: *busy*, when another process keeps it for longer.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise busy from None
            time.sleep(0.05)


def mounts_below(path: str) -> list[str]:
    """What is mounted at *path* or below it. ``os.path.ismount`` knows no bind mount of the same file system."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:  # proc(5): blanks are octal
        points = {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]) for line in lines}
    real = os.path.realpath(path)
    return sorted(point for point in points if point == real or point.startswith(f"{real}/"))


def exchange(first: str, second: str) -> None:
    """Swap two directory entries in one system call, so that no path is missing for a moment.

    :raises EcommusError: where the file system cannot (renameat2(2) with RENAME_EXCHANGE), or the two lie on different ones.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        renameat2 = libc.renameat2
    except AttributeError:
        raise EcommusError(
            "the C library of this host has no renameat2", "use glibc 2.28 or newer, or keep ecommus_layout: in_place"
        ) from None
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        for directory in sorted({os.path.dirname(first), os.path.dirname(second)}):
            fsync_directory(directory)
        return
    code = ctypes.get_errno()
    reason = os.strerror(code)
    if code == errno.EXDEV:
        raise EcommusError(
            f"{first} and {second} are on different file systems, so they cannot be exchanged in one step",
            "set ecommus_base to a directory on the file system of ecommus_root",
        )
    if code in (errno.EINVAL, errno.ENOSYS):
        raise EcommusError(
            f"the file system of {first} cannot exchange two entries in one step ({reason})",
            "keep ecommus_layout: in_place, or move the install to ext4, xfs, btrfs or tmpfs",
        )
    raise EcommusError(f"cannot exchange {first} and {second}: {reason}", "check that the user of the play owns both directories")


def size_below(directory: str) -> int:
    """Bytes on disk below *directory*, hard links counted once, links not followed."""
    seen: set[tuple[int, int]] = set()
    total = 0
    stack = [directory]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                elif (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total
