# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say where the shop's database is."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of the options of ``module_utils/_postgres_options.py``."""

    DOCUMENTATION = r"""
options:
  env_file:
    description: The C(.env) file of the shop, on the managed host. The connection URL is read from it.
    type: path
  database_url_key:
    description: The variable in O(env_file) that holds the connection URL.
    type: str
    default: DATABASE_URL
  database_url:
    description:
      - The connection URL itself, instead of O(env_file). C(postgresql://user:password@host:port/database?sslmode=...), percent-encoded.
      - One of O(env_file) and O(database_url) is required.
    type: str
  admin_url:
    description:
      - Connection URL of another role, for creating, renaming and dropping databases.
      - Needed where the shop's own role has no CREATEDB. The role must be a member of the role that owns the database, or a superuser.
    type: str
  path_prefix:
    description: Directories put in front of PATH for the programs that the module starts.
    type: list
    elements: path
    default: []
requirements:
  - psycopg >= 3.1 (on the managed host)
  - PostgreSQL 13 or newer
"""
