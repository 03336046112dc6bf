"""The people whose truth is known, under the name that the tests have for them."""

from truth.people import MANY, arm, distorted, everybody, fresh, study

__all__ = ["MANY", "arm", "distorted", "everybody", "fresh", "study"]
