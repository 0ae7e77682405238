"""The environment variables that change what a run does, as a stranger may see them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.doctor.entries import Entry
from harness.doctor.privacy import HIDDEN, is_secret

_PREFIXES = (
    "BENCH",  # ours
    "HF_|HUGGINGFACE_|TRANSFORMERS_|DIFFUSERS_|SAFETENSORS_|TOKENIZERS_",  # models
    "TORCH|PYTORCH_|CUDA_|CUBLAS_|CUDNN_|NVIDIA_|TRITON|HIP_|ROCR_|MIOPEN_",  # devices
    "OMP_|MKL_|OPENBLAS_|NUMEXPR_|KMP_|GOMP_|BLIS_|VECLIB_",  # threads
    "RAY_",  # clusters
    "MPL",  # charts
)
_NAMES = (
    "WORLD_SIZE|RANK|LOCAL_RANK|SLURM_JOB_ID|SLURM_NTASKS|SLURM_CPUS_PER_TASK",  # several processes
    "PYTHONPATH|PYTHONHOME|PYTHONHASHSEED|PYTHONUTF8|PYTHONOPTIMIZE|PYTHONWARNINGS|PYTHONNOUSERSITE",
    "LD_LIBRARY_PATH|LD_PRELOAD",
    "TMPDIR|TEMP|TMP|XDG_CACHE_HOME",  # folders
    "LANG|LC_ALL|LC_CTYPE|TERM|COLUMNS|NO_COLOR|FORCE_COLOR",  # output
    # Downloads.
    "(?i:(http|https|all|no)_proxy)|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE",
)
_MATTERS = re.compile(rf"(?:{'|'.join(_PREFIXES)})\w*|{'|'.join(_NAMES)}")


def variables(environment: Mapping[str, str]) -> list[Entry]:
    """A line for each variable that matters and is set, in order of name; secrets are told, not shown."""
    entries = []
    for name, value in sorted(environment.items()):
        if _MATTERS.fullmatch(name):
            entries.append(Entry(name, HIDDEN if is_secret(name, value) else value or "(empty)"))
    return entries
