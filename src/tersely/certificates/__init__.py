"""What a sample of documents proves of a cascade, and for how long: marks in, certificates out."""

from __future__ import annotations

from tersely.certificates.audit import Audit
from tersely.certificates.bounds import CONFIDENCE, LIMITS, documents_needed, upper_bound
from tersely.certificates.netloss import documents_for_net_loss, net_loss_bound
from tersely.certificates.parts import PARTS, Part, different, draw_parts, fingerprint, others
from tersely.certificates.path import prove, surest_point
from tersely.certificates.record import CRITERIA, Certificate, Certificates

__all__ = [
    "CONFIDENCE",
    "CRITERIA",
    "LIMITS",
    "PARTS",
    "Audit",
    "Certificate",
    "Certificates",
    "Part",
    "different",
    "documents_for_net_loss",
    "documents_needed",
    "draw_parts",
    "fingerprint",
    "net_loss_bound",
    "others",
    "prove",
    "surest_point",
    "upper_bound",
]
