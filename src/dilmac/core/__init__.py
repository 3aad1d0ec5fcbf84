"""Ground floor: artifacts, configs, errors, files, progress, pages. Knows nothing of models."""

from dilmac.core.artifact import (
    SCHEMA_VERSION,
    Artifact,
    Build,
    Figures,
    building,
    input_record,
    open_artifact,
)
from dilmac.core.blocks import read_blocks
from dilmac.core.bundled import (
    SAMPLES,
    bundled_instructions,
    bundled_prose,
    bundled_raw_text,
    bundled_recipe,
)
from dilmac.core.config import Config, StageConfig, explain, unknown_key
from dilmac.core.errors import (
    ArtifactError,
    ConfigError,
    DilmacError,
    DiskFullError,
    EngineError,
    InputError,
    MissingDependencyError,
    ParityError,
    UnreadableInputError,
    disk_full_explained,
)
from dilmac.core.files import (
    FORMATS,
    JsonlWriter,
    Line,
    expand_inputs,
    file_format,
    read_json,
    read_lines,
    read_table,
    remove_whole,
    write_json,
    written_whole,
)
from dilmac.core.hashed import HashedFile, sha256_of
from dilmac.core.later import Later
from dilmac.core.machine import machine, num_cpus, versions
from dilmac.core.pages import Page, figure_html, require_writable
from dilmac.core.progress import Events, Steps, console, read_events, say
from dilmac.core.records import InputRecord
from dilmac.core.shards import SPLITS, ShardWriter, count_text_bytes, read_documents, read_texts
from dilmac.core.split import Part, part_of, place_of
from dilmac.core.texts import (
    json_object,
    read_measured_documents,
    read_measured_texts,
    read_records,
)
from dilmac.core.waiting import own_seconds, waited_seconds

__all__ = [
    "FORMATS",
    "SAMPLES",
    "SCHEMA_VERSION",
    "SPLITS",
    "Artifact",
    "ArtifactError",
    "Build",
    "Config",
    "ConfigError",
    "DilmacError",
    "DiskFullError",
    "EngineError",
    "Events",
    "Figures",
    "HashedFile",
    "InputError",
    "InputRecord",
    "JsonlWriter",
    "Later",
    "Line",
    "MissingDependencyError",
    "Page",
    "ParityError",
    "Part",
    "ShardWriter",
    "StageConfig",
    "Steps",
    "UnreadableInputError",
    "building",
    "bundled_instructions",
    "bundled_prose",
    "bundled_raw_text",
    "bundled_recipe",
    "console",
    "count_text_bytes",
    "disk_full_explained",
    "expand_inputs",
    "explain",
    "figure_html",
    "file_format",
    "input_record",
    "json_object",
    "machine",
    "num_cpus",
    "open_artifact",
    "own_seconds",
    "part_of",
    "place_of",
    "read_blocks",
    "read_documents",
    "read_events",
    "read_json",
    "read_lines",
    "read_measured_documents",
    "read_measured_texts",
    "read_records",
    "read_table",
    "read_texts",
    "remove_whole",
    "require_writable",
    "say",
    "sha256_of",
    "unknown_key",
    "versions",
    "waited_seconds",
    "write_json",
    "written_whole",
]
