"""Ground floor: artifacts, configs, errors, files, progress, pages. Knows nothing of models."""

from dilmac.core.artifact import (
    SCHEMA_VERSION,
    Artifact,
    Build,
    Figures,
    InputRecord,
    building,
    input_record,
    open_artifact,
)
from dilmac.core.bundled import (
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
    disk_full_explained,
)
from dilmac.core.files import (
    JsonlWriter,
    Line,
    expand_inputs,
    file_format,
    read_lines,
    read_table,
    sha256_of,
    write_json,
    written_whole,
)
from dilmac.core.machine import machine, num_cpus, versions
from dilmac.core.pages import Page, figure_html
from dilmac.core.progress import Events, Steps, console, read_events, say
from dilmac.core.shards import SPLITS, ShardWriter, count_text_bytes, read_documents, read_texts
from dilmac.core.texts import read_measured_texts

__all__ = [
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
    "InputError",
    "InputRecord",
    "JsonlWriter",
    "Line",
    "MissingDependencyError",
    "Page",
    "ParityError",
    "ShardWriter",
    "StageConfig",
    "Steps",
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
    "machine",
    "num_cpus",
    "open_artifact",
    "read_documents",
    "read_events",
    "read_lines",
    "read_measured_texts",
    "read_table",
    "read_texts",
    "say",
    "sha256_of",
    "unknown_key",
    "versions",
    "write_json",
    "written_whole",
]
