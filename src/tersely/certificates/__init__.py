"""What a sample of documents proves of a cascade, and for how long: marks in, certificates out."""

# ruff: noqa: F401 - these are the room's public names.
from tersely.certificates.audit import Audit
from tersely.certificates.bounds import CONFIDENCE, LIMITS, documents_needed, upper_bound
from tersely.certificates.netloss import documents_for_net_loss, net_loss_bound
from tersely.certificates.parts import PARTS, Part, different, draw_parts, fingerprint, others
from tersely.certificates.path import prove, surest_point
from tersely.certificates.record import CRITERIA, Certificate, Certificates
