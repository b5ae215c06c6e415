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
    from resilient.config import Configuration, SettingValue, configure
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
    from resilient.system.anomaly import RateSignal
    from resilient.system.cascade_emergency import cascade_emergency
    from resilient.system.checkup import CheckStatus, ComponentCheck, HealthCheck
    from resilient.system.composite import CompositeSignal
    from resilient.system.disaster_recovery import disaster_recovery
    from resilient.system.feature_events import FeatureSwitched, FreezeChanged
    from resilient.system.feature_gate import Feature
    from resilient.system.features import feature
    from resilient.system.impact import Impact, Performance
    from resilient.system.incident import Incident
    from resilient.system.noticing import CascadeDetected
    from resilient.system.partial_failure import partial_failure
    from resilient.system.probe import (
        Probe,
        ProbeChanged,
        ProbeReading,
        ProbeResult,
        ProbeStatus,
    )
    from resilient.system.reactions import Reactions
    from resilient.system.recovery_stage import RecoveryChanged, RecoveryStage, RecoveryStatus
    from resilient.system.requirement import RequirementStatus
    from resilient.system.response import Quality, ResponseContext
    from resilient.system.run import RunbookRun
    from resilient.system.run_context import RunContext
    from resilient.system.run_events import RunbookFinished, RunbookStarted, RunbookStep
    from resilient.system.run_record import RunOutcome, StepRecord, StepState
    from resilient.system.run_trigger import failure_of
    from resilient.system.runbook import Runbook, runbook
    from resilient.system.saturation import SaturationSignal
    from resilient.system.signal_level import SignalLevel
    from resilient.system.signals import SignalChanged, SignalReading
    from resilient.system.standing import FeatureState, FeatureStatus, Frozen
    from resilient.system.step import Step, step
    from resilient.system.threshold import ThresholdSignal
    from resilient.system.weighing import SignalPart
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
    "CheckStatus": "resilient.system.checkup",
    "ComponentCheck": "resilient.system.checkup",
    "CompositeSignal": "resilient.system.composite",
    "Configuration": "resilient.config",
    "Failover": "resilient.policies.failover",
    "FailoverTarget": "resilient.policies.failover",
    "Feature": "resilient.system.feature_gate",
    "FeatureState": "resilient.system.standing",
    "FeatureStatus": "resilient.system.standing",
    "FeatureSwitched": "resilient.system.feature_events",
    "FreezeChanged": "resilient.system.feature_events",
    "Frozen": "resilient.system.standing",
    "HealthCheck": "resilient.system.checkup",
    "Hedge": "resilient.policies.hedge",
    "HedgeMetrics": "resilient.policies.hedge",
    "Impact": "resilient.system.impact",
    "Incident": "resilient.system.incident",
    "Mode": "resilient.mode",
    "ModeChange": "resilient.mode",
    "ModeGate": "resilient.policies.mode_gate",
    "Performance": "resilient.system.impact",
    "Probe": "resilient.system.probe",
    "ProbeChanged": "resilient.system.probe",
    "ProbeReading": "resilient.system.probe",
    "ProbeResult": "resilient.system.probe",
    "ProbeStatus": "resilient.system.probe",
    "Quality": "resilient.system.response",
    "RateLimit": "resilient.policies.rate_limiter",
    "RateSignal": "resilient.system.anomaly",
    "Reaction": "resilient.core.ports",
    "Reactions": "resilient.system.reactions",
    "RecoveryChanged": "resilient.system.recovery_stage",
    "RecoveryStage": "resilient.system.recovery_stage",
    "RecoveryStatus": "resilient.system.recovery_stage",
    "RequirementStatus": "resilient.system.requirement",
    "ResponseContext": "resilient.system.response",
    "RunContext": "resilient.system.run_context",
    "RunOutcome": "resilient.system.run_record",
    "Runbook": "resilient.system.runbook",
    "RunbookFinished": "resilient.system.run_events",
    "RunbookRun": "resilient.system.run",
    "RunbookStarted": "resilient.system.run_events",
    "RunbookStep": "resilient.system.run_events",
    "SaturationSignal": "resilient.system.saturation",
    "SettingValue": "resilient.config",
    "SignalChanged": "resilient.system.signals",
    "SignalLevel": "resilient.system.signal_level",
    "SignalPart": "resilient.system.weighing",
    "SignalReading": "resilient.system.signals",
    "SlowStart": "resilient.policies.slow_start_gate",
    "Step": "resilient.system.step",
    "StepRecord": "resilient.system.run_record",
    "StepState": "resilient.system.run_record",
    "SystemOperationMode": "resilient.mode",
    "SystemState": "resilient.mode",
    "ThresholdSignal": "resilient.system.threshold",
    "Throttle": "resilient.policies.throttle",
    "adaptive_limit": "resilient.policies.adaptive",
    "aimd": "resilient.policies.limit_algorithms",
    "alerts": "resilient.telemetry",
    "bulkhead": "resilient.policies.bulkhead",
    "cascade_emergency": "resilient.system.cascade_emergency",
    "configure": "resilient.config",
    "criticality": "resilient.policies.criticality",
    "default_mode": "resilient.mode",
    "disaster_recovery": "resilient.system.disaster_recovery",
    "enable_logs": "resilient.telemetry.logs",
    "failover": "resilient.policies.failover",
    "failure_of": "resilient.system.run_trigger",
    "feature": "resilient.system.features",
    "hedge": "resilient.policies.hedge",
    "mode_gate": "resilient.policies.mode_gate",
    "partial_failure": "resilient.system.partial_failure",
    "probes": "resilient.integrations",
    "protect": "resilient.recommended",
    "rate_limit": "resilient.policies.rate_limit",
    "runbook": "resilient.system.runbook",
    "slow_start": "resilient.policies.slow_start",
    "step": "resilient.system.step",
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
