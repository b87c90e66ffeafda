"""The networks of learned image codecs, from Ballé 2017 to Cheng 2020: one file each, with all that it declares.

========================  ==============================================  ==========================================
network                   transforms                                      p(ŷ)
========================  ==============================================  ==========================================
`Balle2017`               9×9/4, 5×5/2, 5×5/2 with GDN, gain units        one density a channel (factorized prior)
`Bmshj2018Factorized`     four 5×5/2 with GDN                             the same
`Bmshj2018Hyperprior`     the same                                        Gaussian; scale from the hyperprior ẑ
`Mbt2018Mean`             the same                                        Gaussian; mean and scale from ẑ
`Mbt2018`                 the same                                        the same, from ẑ and decoded neighbours
`Cheng2020Anchor`         residual blocks of 3×3, sub-pixel upsampling    the same
`Cheng2020Attention`      the same with attention                         the same
`Cheng2020`               the same with gain units (a continuous rate)    mixture of three Gaussians, from both
`Cheng2020Checkerboard`   the same                                        the same, two decoding steps
========================  ==============================================  ==========================================

`network` has the plan that all follow and the bases of the classes, `declared` finds them by their names, and
`checkpoints` reads and packs their state dicts.
"""

from ....primitives import plugins
from .balle2017 import Balle2017
from .bmshj2018 import Bmshj2018Factorized, Bmshj2018Hyperprior
from .checkpoints import packed_state, rename_keys
from .cheng2020 import Cheng2020, Cheng2020Anchor, Cheng2020Attention, Cheng2020Checkerboard
from .declared import GROUP, channels_of, load_network, network, network_class, network_name, network_names
from .mbt2018 import Mbt2018, Mbt2018Mean
from .network import (
    LEVEL_STEPS,
    AutoregressiveNetwork,
    ContextNetwork,
    FactorizedNetwork,
    HyperpriorNetwork,
    Network,
    NetworkOutput,
    VariableRate,
    bits_of,
)

#: The networks that come with codeckit, by the names of their codecs.
NETWORKS: dict[str, type[Network]] = {name: each.load() for name, each in plugins.own(GROUP).items()}

__all__ = [
    "LEVEL_STEPS",
    "NETWORKS",
    "AutoregressiveNetwork",
    "Balle2017",
    "Bmshj2018Factorized",
    "Bmshj2018Hyperprior",
    "Cheng2020",
    "Cheng2020Anchor",
    "Cheng2020Attention",
    "Cheng2020Checkerboard",
    "ContextNetwork",
    "FactorizedNetwork",
    "HyperpriorNetwork",
    "Mbt2018",
    "Mbt2018Mean",
    "Network",
    "NetworkOutput",
    "VariableRate",
    "bits_of",
    "channels_of",
    "load_network",
    "network",
    "network_class",
    "network_name",
    "network_names",
    "packed_state",
    "rename_keys",
]
