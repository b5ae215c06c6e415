"""An embeddable resilience library: an application that keeps answering while what it needs fails.

Decorate calls with `breaker`, `retry`, `timeout`, `fallback`, or with all of them as a `pipeline`.
What they learn flows into one `SystemOperationMode`, which says NORMAL, DEGRADED or EMERGENCY,
and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient.clock import Clock
from resilient.core.deadline import remaining
from resilient.core.hub import publish, subscribe
from resilient.core.importance import importance
from resilient.core.outcome import Freshness, Outcome
from resilient.core.ports import Criticality
from resilient.errors import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    DeadlineExceededError,
    FeatureUnavailableError,
    MissingExtraError,
    RateLimitedError,
    Rejected,
    ResilientError,
    StoreError,
    ThrottledError,
)
from resilient.events import (
    CallFailed,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitOverridden,
    CircuitState,
    ComponentFailed,
    ComponentRecovered,
    Event,
    FallbackUsed,
    LimitChanged,
    RetryGaveUp,
    RetryScheduled,
    Severity,
    TargetEjected,
    TargetReturned,
)
from resilient.facade import describe, outcome, set_active, shutdown
from resilient.policies.alternatives import alternative, stale, value
from resilient.policies.backoff import backoff
from resilient.policies.breaker import breaker
from resilient.policies.budget import RetryBudget, retry_budget
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.policies.deadline import Deadline, deadline
from resilient.policies.fallback import Fallback, fallback
from resilient.policies.pipeline import Pipeline, pipeline
from resilient.policies.point import point
from resilient.policies.retry import Retry, retry
from resilient.policies.surface import BreakerMetrics
from resilient.policies.timeout import Timeout, timeout
from resilient.policies.window import calls

if TYPE_CHECKING:
    from resilient.config.configuration import Configuration, SettingValue, configure
    from resilient.core.ports import Reaction
    from resilient.integrations import probes
    from resilient.mode import Mode, ModeChange, SystemOperationMode, SystemState, default_mode
    from resilient.policies.adaptive import adaptive_limit
    from resilient.policies.adaptive_limit import AdaptiveLimit
    from resilient.policies.bulkhead import Bulkhead, bulkhead
    from resilient.policies.criticality import criticality
    from resilient.policies.failover import Failover, FailoverTarget, failover
    from resilient.policies.hedge import Hedge, HedgeMetrics, hedge
    from resilient.policies.limit_algorithms import aimd
    from resilient.policies.mode_gate import ModeGate, mode_gate
    from resilient.policies.rate_limit import rate_limit
    from resilient.policies.rate_limiter import RateLimit
    from resilient.policies.slow_start import slow_start
    from resilient.policies.slow_start_gate import SlowStart
    from resilient.policies.throttle import Throttle, throttle
    from resilient.recommended import protect
    from resilient.system.checklist.requirement import RequirementStatus
    from resilient.system.degradation.events import FeatureSwitched, FreezeChanged
    from resilient.system.degradation.features import feature
    from resilient.system.degradation.gate import Feature
    from resilient.system.degradation.reactions import Reactions
    from resilient.system.degradation.response import Quality, ResponseContext
    from resilient.system.degradation.standing import FeatureState, FeatureStatus, Frozen
    from resilient.system.impact.checkup import CheckStatus, ComponentCheck, HealthCheck
    from resilient.system.impact.figures import Impact, Performance
    from resilient.system.impact.incident import Incident
    from resilient.system.noticing import CascadeDetected
    from resilient.system.probes.probe import (
        Probe,
        ProbeChanged,
        ProbeReading,
        ProbeResult,
        ProbeStatus,
    )
    from resilient.system.recoveries.stage import RecoveryChanged, RecoveryStage, RecoveryStatus
    from resilient.system.runbooks.cascade_emergency import cascade_emergency
    from resilient.system.runbooks.context import RunContext
    from resilient.system.runbooks.disaster_recovery import disaster_recovery
    from resilient.system.runbooks.events import RunbookFinished, RunbookStarted, RunbookStep
    from resilient.system.runbooks.partial_failure import partial_failure
    from resilient.system.runbooks.record import RunOutcome, StepRecord, StepState
    from resilient.system.runbooks.run import RunbookRun
    from resilient.system.runbooks.runbook import Runbook, runbook
    from resilient.system.runbooks.step import Step, step
    from resilient.system.runbooks.trigger import failure_of
    from resilient.system.signals.anomaly import RateSignal
    from resilient.system.signals.composite import CompositeSignal
    from resilient.system.signals.level import SignalLevel
    from resilient.system.signals.reading import SignalChanged, SignalReading
    from resilient.system.signals.saturation import SaturationSignal
    from resilient.system.signals.threshold import ThresholdSignal
    from resilient.system.signals.weighing import SignalPart
    from resilient.telemetry import alerts
    from resilient.telemetry.logs import enable_logs

__all__ = [
    "AdaptiveLimit",
    "BreakerMetrics",
    "Bulkhead",
    "BulkheadFullError",
    "CallFailed",
    "CallRejected",
    "CallTimedOut",
    "CallTimeoutError",
    "CascadeDetected",
    "CheckStatus",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitOpenError",
    "CircuitOpened",
    "CircuitOverridden",
    "CircuitState",
    "Clock",
    "ComponentCheck",
    "ComponentFailed",
    "ComponentRecovered",
    "CompositeSignal",
    "ConfigError",
    "Configuration",
    "Criticality",
    "Deadline",
    "DeadlineExceededError",
    "Event",
    "Failover",
    "FailoverTarget",
    "Fallback",
    "FallbackUsed",
    "Feature",
    "FeatureState",
    "FeatureStatus",
    "FeatureSwitched",
    "FeatureUnavailableError",
    "FreezeChanged",
    "Freshness",
    "Frozen",
    "HealthCheck",
    "Hedge",
    "HedgeMetrics",
    "Impact",
    "Incident",
    "LimitChanged",
    "MissingExtraError",
    "Mode",
    "ModeChange",
    "ModeGate",
    "Outcome",
    "Performance",
    "Pipeline",
    "Probe",
    "ProbeChanged",
    "ProbeReading",
    "ProbeResult",
    "ProbeStatus",
    "Quality",
    "RateLimit",
    "RateLimitedError",
    "RateSignal",
    "Reaction",
    "Reactions",
    "RecoveryChanged",
    "RecoveryStage",
    "RecoveryStatus",
    "Rejected",
    "RequirementStatus",
    "ResilientError",
    "ResponseContext",
    "Retry",
    "RetryBudget",
    "RetryGaveUp",
    "RetryScheduled",
    "RunContext",
    "RunOutcome",
    "Runbook",
    "RunbookFinished",
    "RunbookRun",
    "RunbookStarted",
    "RunbookStep",
    "SaturationSignal",
    "SettingValue",
    "Severity",
    "SignalChanged",
    "SignalLevel",
    "SignalPart",
    "SignalReading",
    "SlowStart",
    "Step",
    "StepRecord",
    "StepState",
    "StoreError",
    "SystemOperationMode",
    "SystemState",
    "TargetEjected",
    "TargetReturned",
    "ThresholdSignal",
    "Throttle",
    "ThrottledError",
    "Timeout",
    "adaptive_limit",
    "aimd",
    "alerts",
    "alternative",
    "backoff",
    "breaker",
    "bulkhead",
    "calls",
    "cascade_emergency",
    "configure",
    "criticality",
    "deadline",
    "default_mode",
    "describe",
    "disaster_recovery",
    "enable_logs",
    "failover",
    "failure_of",
    "fallback",
    "feature",
    "hedge",
    "importance",
    "mode_gate",
    "outcome",
    "partial_failure",
    "pipeline",
    "point",
    "probes",
    "protect",
    "publish",
    "rate_limit",
    "remaining",
    "retry",
    "retry_budget",
    "runbook",
    "set_active",
    "shutdown",
    "slow_start",
    "stale",
    "step",
    "subscribe",
    "throttle",
    "timeout",
    "value",
]


_LAZY = {
    "AdaptiveLimit": "resilient.policies.adaptive_limit",
    "Bulkhead": "resilient.policies.bulkhead",
    "CascadeDetected": "resilient.system.noticing",
    "CheckStatus": "resilient.system.impact.checkup",
    "ComponentCheck": "resilient.system.impact.checkup",
    "CompositeSignal": "resilient.system.signals.composite",
    "Configuration": "resilient.config.configuration",
    "Failover": "resilient.policies.failover",
    "FailoverTarget": "resilient.policies.failover",
    "Feature": "resilient.system.degradation.gate",
    "FeatureState": "resilient.system.degradation.standing",
    "FeatureStatus": "resilient.system.degradation.standing",
    "FeatureSwitched": "resilient.system.degradation.events",
    "FreezeChanged": "resilient.system.degradation.events",
    "Frozen": "resilient.system.degradation.standing",
    "HealthCheck": "resilient.system.impact.checkup",
    "Hedge": "resilient.policies.hedge",
    "HedgeMetrics": "resilient.policies.hedge",
    "Impact": "resilient.system.impact.figures",
    "Incident": "resilient.system.impact.incident",
    "Mode": "resilient.mode",
    "ModeChange": "resilient.mode",
    "ModeGate": "resilient.policies.mode_gate",
    "Performance": "resilient.system.impact.figures",
    "Probe": "resilient.system.probes.probe",
    "ProbeChanged": "resilient.system.probes.probe",
    "ProbeReading": "resilient.system.probes.probe",
    "ProbeResult": "resilient.system.probes.probe",
    "ProbeStatus": "resilient.system.probes.probe",
    "Quality": "resilient.system.degradation.response",
    "RateLimit": "resilient.policies.rate_limiter",
    "RateSignal": "resilient.system.signals.anomaly",
    "Reaction": "resilient.core.ports",
    "Reactions": "resilient.system.degradation.reactions",
    "RecoveryChanged": "resilient.system.recoveries.stage",
    "RecoveryStage": "resilient.system.recoveries.stage",
    "RecoveryStatus": "resilient.system.recoveries.stage",
    "RequirementStatus": "resilient.system.checklist.requirement",
    "ResponseContext": "resilient.system.degradation.response",
    "RunContext": "resilient.system.runbooks.context",
    "RunOutcome": "resilient.system.runbooks.record",
    "Runbook": "resilient.system.runbooks.runbook",
    "RunbookFinished": "resilient.system.runbooks.events",
    "RunbookRun": "resilient.system.runbooks.run",
    "RunbookStarted": "resilient.system.runbooks.events",
    "RunbookStep": "resilient.system.runbooks.events",
    "SaturationSignal": "resilient.system.signals.saturation",
    "SettingValue": "resilient.config.configuration",
    "SignalChanged": "resilient.system.signals.reading",
    "SignalLevel": "resilient.system.signals.level",
    "SignalPart": "resilient.system.signals.weighing",
    "SignalReading": "resilient.system.signals.reading",
    "SlowStart": "resilient.policies.slow_start_gate",
    "Step": "resilient.system.runbooks.step",
    "StepRecord": "resilient.system.runbooks.record",
    "StepState": "resilient.system.runbooks.record",
    "SystemOperationMode": "resilient.mode",
    "SystemState": "resilient.mode",
    "ThresholdSignal": "resilient.system.signals.threshold",
    "Throttle": "resilient.policies.throttle",
    "adaptive_limit": "resilient.policies.adaptive",
    "aimd": "resilient.policies.limit_algorithms",
    "alerts": "resilient.telemetry",
    "bulkhead": "resilient.policies.bulkhead",
    "cascade_emergency": "resilient.system.runbooks.cascade_emergency",
    "configure": "resilient.config.configuration",
    "criticality": "resilient.policies.criticality",
    "default_mode": "resilient.mode",
    "disaster_recovery": "resilient.system.runbooks.disaster_recovery",
    "enable_logs": "resilient.telemetry.logs",
    "failover": "resilient.policies.failover",
    "failure_of": "resilient.system.runbooks.trigger",
    "feature": "resilient.system.degradation.features",
    "hedge": "resilient.policies.hedge",
    "mode_gate": "resilient.policies.mode_gate",
    "partial_failure": "resilient.system.runbooks.partial_failure",
    "probes": "resilient.integrations",
    "protect": "resilient.recommended",
    "rate_limit": "resilient.policies.rate_limit",
    "runbook": "resilient.system.runbooks.runbook",
    "slow_start": "resilient.policies.slow_start",
    "step": "resilient.system.runbooks.step",
    "throttle": "resilient.policies.throttle",
}


def __getattr__(name: str) -> Any:
    """Load on first use what a program with a few breakers does without."""
    if name not in _LAZY:
        message = f"module 'resilient' has no attribute {name!r}"
        raise AttributeError(message)
    # As ``from home import name`` does it: `name` may be a module, too.
    value = getattr(__import__(_LAZY[name], fromlist=(name,)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
