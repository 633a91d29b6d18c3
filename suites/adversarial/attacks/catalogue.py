"""One probe per attack recipe; what a recipe does, and how it differs from its paper, is said in `recipes`."""

from suites.adversarial.attacks.probe import AttackProbe


class A2T(AttackProbe, recipe="a2t"):
    """Yoo & Qi 2021."""


class BAE(AttackProbe, recipe="bae"):
    """Garg & Ramakrishnan 2020."""


class BertAttack(AttackProbe, recipe="bert_attack"):
    """Li et al. 2020."""


class CheckListInvariance(AttackProbe, recipe="checklist_inv"):
    """Ribeiro et al. 2020."""


class CLARE(AttackProbe, recipe="clare"):
    """Li et al. 2021."""


class DeepWordBug(AttackProbe, recipe="deepwordbug"):
    """Gao et al. 2018."""


class FasterGenetic(AttackProbe, recipe="faster_genetic"):
    """Jia et al. 2019."""


class HotFlip(AttackProbe, recipe="hotflip"):
    """Ebrahimi et al. 2018."""


class IGA(AttackProbe, recipe="iga"):
    """Wang et al. 2019."""


class InputReduction(AttackProbe, recipe="input_reduction"):
    """Feng et al. 2018."""


class Pruthi(AttackProbe, recipe="pruthi"):
    """Pruthi et al. 2019."""


class PSO(AttackProbe, recipe="pso"):
    """Zang et al. 2020."""


class PWWS(AttackProbe, recipe="pwws"):
    """Ren et al. 2019."""


class TextBugger(AttackProbe, recipe="textbugger"):
    """Li et al. 2019."""


class TextFooler(AttackProbe, recipe="textfooler"):
    """Jin et al. 2020."""


class TextFoolerAdjusted(AttackProbe, recipe="textfooler_adjusted"):
    """Morris et al. 2020."""
