"""The virtual network: what is in it, the one way out, and the private names of Azure's services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network as azure
from pulumi_azure_native import privatedns
from pulumi_azure_native.resources import ResourceGroup

_SPACE = "10.20.0.0/16"
_SUBNETS: Mapping[str, tuple[str, str | None]] = {  # its addresses, and the service it is delegated to
    "nodes": ("10.20.0.0/18", None),
    "private-endpoints": ("10.20.64.0/24", None),
    "gateway": ("10.20.65.0/24", "Microsoft.ServiceNetworking/trafficControllers"),
    "databricks-host": ("10.20.66.0/24", "Microsoft.Databricks/workspaces"),
    "databricks-container": ("10.20.67.0/24", "Microsoft.Databricks/workspaces"),
}
_ZONES = {
    "vault": "privatelink.vaultcore.azure.net",
    "blob": "privatelink.blob.core.windows.net",
    "dfs": "privatelink.dfs.core.windows.net",
    "postgresqlServer": "privatelink.postgres.database.azure.com",
    "account": "privatelink.openai.azure.com",
    "registry": "privatelink.azurecr.io",
    "databricks_ui_api": "privatelink.azuredatabricks.net",
}
"""The zone in which a service has its private address, by what Private Link calls the part of the service."""


@dataclass(frozen=True)
class Network:
    """The network, with its subnets and private zones by name."""

    group: ResourceGroup
    id: pulumi.Output[str]
    subnets: Mapping[str, azure.Subnet]
    zones: Mapping[str, privatedns.PrivateZone]

    def endpoint(self, name: str, service: pulumi.CustomResource, part: str) -> azure.PrivateEndpoint:
        """Give a service an address in the network, and its name there.

        part: what Private Link calls the part of the service that is meant.
        """
        group = self.group.name
        made = azure.PrivateEndpoint(
            name,
            resource_group_name=group,
            subnet=azure.SubnetArgs(id=self.subnets["private-endpoints"].id),
            private_link_service_connections=[
                azure.PrivateLinkServiceConnectionArgs(
                    name=name, private_link_service_id=service.id, group_ids=[part]
                )
            ],
        )
        zone = azure.PrivateDnsZoneConfigArgs(name=part, private_dns_zone_id=self.zones[part].id)
        azure.PrivateDnsZoneGroup(
            name,
            resource_group_name=group,
            private_endpoint_name=made.name,
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[zone],
        )
        return made


def network(group: ResourceGroup) -> Network:
    """Make the network. It reaches the outside by one address, and nobody reaches it from there."""
    address = azure.PublicIPAddress(
        "way-out",
        resource_group_name=group.name,
        sku=azure.PublicIPAddressSkuArgs(name="Standard"),
        public_ip_allocation_method="Static",
    )
    way_out = azure.NatGateway(
        "way-out",
        resource_group_name=group.name,
        sku=azure.NatGatewaySkuArgs(name="Standard"),
        public_ip_addresses=[azure.SubResourceArgs(id=address.id)],
    )
    virtual = azure.VirtualNetwork(
        "network",
        resource_group_name=group.name,
        address_space=azure.AddressSpaceArgs(address_prefixes=[_SPACE]),
        # The subnets are resources of their own, which an update of the network must leave alone.
        opts=pulumi.ResourceOptions(ignore_changes=["subnets"]),
    )
    subnets: dict[str, azure.Subnet] = {}
    for name, (addresses, service) in _SUBNETS.items():
        # Azure changes one subnet of a network at a time.
        before = [subnets[last] for last in list(subnets)[-1:]]
        subnets[name] = azure.Subnet(
            name,
            subnet_name=name,
            resource_group_name=group.name,
            virtual_network_name=virtual.name,
            address_prefix=addresses,
            default_outbound_access=False,
            nat_gateway=azure.SubResourceArgs(id=way_out.id),
            network_security_group=_rules(group, name) if name.startswith("databricks") else None,
            delegations=[azure.DelegationArgs(name=name, service_name=service)] if service else None,
            opts=pulumi.ResourceOptions(depends_on=before),
        )
    zones = {part: _zone(group, virtual, part, zone) for part, zone in _ZONES.items()}
    return Network(group, virtual.id, subnets, zones)


def _rules(group: ResourceGroup, name: str) -> azure.NetworkSecurityGroupArgs:
    """Return the rules of a subnet that Databricks writes into itself."""
    made = azure.NetworkSecurityGroup(
        name,
        resource_group_name=group.name,
        opts=pulumi.ResourceOptions(ignore_changes=["securityRules"]),
    )
    return azure.NetworkSecurityGroupArgs(id=made.id)


def _zone(
    group: ResourceGroup, virtual: azure.VirtualNetwork, part: str, zone: str
) -> privatedns.PrivateZone:
    made = privatedns.PrivateZone(
        part, private_zone_name=zone, resource_group_name=group.name, location="global"
    )
    privatedns.VirtualNetworkLink(
        part,
        private_zone_name=made.name,
        resource_group_name=group.name,
        location="global",
        registration_enabled=False,
        virtual_network=privatedns.SubResourceArgs(id=virtual.id),
    )
    return made
