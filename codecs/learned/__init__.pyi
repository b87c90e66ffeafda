from .networks import (
    NETWORKS as NETWORKS,
)
from .networks import (
    Network as Network,
)
from .networks import (
    NetworkOutput as NetworkOutput,
)
from .networks import (
    load_network as load_network,
)
from .networks import (
    network as network,
)
from .networks import (
    network_class as network_class,
)
from .weights import (
    WeightFile as WeightFile,
)
from .weights import (
    export as export,
)
from .weights import (
    load_weights as load_weights,
)
from .weights import (
    register_weights as register_weights,
)
from .zoo import import_compressai as import_compressai
