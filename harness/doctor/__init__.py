"""The contract of a method, checked on the bundled pictures; and the installation, looked over."""

from harness.doctor.checks import CHECKS, Finding, examine_method
from harness.doctor.installation import examine_installation

__all__ = ["CHECKS", "Finding", "examine_installation", "examine_method"]
