"""The plan of a bundle: the steps of a network, typed, checked, and read from JSON in one place."""

from runtime.plan.fields import Shape as Shape
from runtime.plan.plan import Plan as Plan
from runtime.plan.plan import check_network as check_network
from runtime.plan.plan import parse_plan as parse_plan
from runtime.plan.step import ARITHMETICS as ARITHMETICS
from runtime.plan.step import FloatLayer as FloatLayer
from runtime.plan.step import TensorTypes as TensorTypes
from runtime.plan.steps import KINDS as KINDS
from runtime.plan.steps import BinaryKind as BinaryKind
from runtime.plan.steps import HeadStep as HeadStep
from runtime.plan.steps import StageStep as StageStep
from runtime.plan.steps import StemConvolution as StemConvolution
from runtime.plan.steps import StemStep as StemStep
from runtime.plan.steps import Step as Step
from runtime.plan.steps import TransitionStep as TransitionStep
