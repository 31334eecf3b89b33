"""The command that reads snapshots: check. Each is judged alone."""

import contextlib
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from lifecycle import LogError, Profile, Tier, Violation, WireError, check as judge, wire
