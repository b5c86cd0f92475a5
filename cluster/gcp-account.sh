#!/usr/bin/env bash
# What cluster/gcp.yaml needs in a Google Cloud project, and nothing more: a network that only one address can enter by
# SSH, an account each for head and workers, a bucket. Costs nothing by itself; the bucket costs what lies in it. May run
# again at any time: it makes what is missing, and lets in the address that it is given and no other.
#
#   bash cluster/gcp-account.sh PROJECT ZONE YOUR_ADDRESS/32
#
# Zones with L4 GPUs: gcloud compute accelerator-types list --filter name=nvidia-l4 --format 'value(zone)'
set -euo pipefail
[[ $# -eq 3 ]] || { echo "usage: bash cluster/gcp-account.sh PROJECT ZONE YOUR_ADDRESS/32" >&2; exit 2; }
project=$1 zone=$2 ssh_from=$3
[[ $zone =~ ^[a-z]+-[a-z]+[0-9]+-[a-z]$ ]] || { echo "$zone: not a zone, such as us-central1-a" >&2; exit 2; }
[[ $ssh_from =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/(1[6-9]|2[0-9]|3[0-2])$ ]] || {
  echo "$ssh_from: not an address with /32, or a network of at most a /16" >&2; exit 2; }
region=${zone%-*}
head=bdw-head@$project.iam.gserviceaccount.com worker=bdw-worker@$project.iam.gserviceaccount.com
bucket=gs://$project-bdw
cloud() { gcloud --quiet --project "$project" "$@"; }
# missing WHAT... : whether gcloud cannot describe it. (What may not be looked at fails when it is made.)
missing() { ! cloud "$@" > /dev/null 2>&1; }

cloud services enable compute.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com storage.googleapis.com

# A network of its own: the default one lets the whole world knock on port 22.
if missing compute networks describe bdw; then
  cloud compute networks create bdw --subnet-mode=custom
fi
if missing compute networks subnets describe bdw --region="$region"; then
  cloud compute networks subnets create bdw --network=bdw --region="$region" --range=10.77.0.0/20 --enable-private-ip-google-access
fi
if missing compute firewall-rules describe bdw-ssh; then
  cloud compute firewall-rules create bdw-ssh --network=bdw --allow=tcp:22 --source-ranges="$ssh_from" --target-tags=bdw
else
  cloud compute firewall-rules update bdw-ssh --allow=tcp:22 --source-ranges="$ssh_from" --target-tags=bdw
fi
if missing compute firewall-rules describe bdw-inside; then
  cloud compute firewall-rules create bdw-inside --network=bdw --allow=tcp,udp,icmp --source-tags=bdw --target-tags=bdw
fi

if missing iam service-accounts describe "$head"; then
  cloud iam service-accounts create bdw-head --display-name="bdw: head of the Ray cluster"
fi
if missing iam service-accounts describe "$worker"; then
  cloud iam service-accounts create bdw-worker --display-name="bdw: workers of the Ray cluster"
fi
# The head starts and ends machines and hands them the workers' account, no other.
permissions=compute.disks.create,compute.images.useReadOnly,compute.instances.create,compute.instances.delete,compute.instances.get,compute.instances.list,compute.instances.setLabels,compute.instances.setMetadata,compute.instances.setServiceAccount,compute.instances.setTags,compute.subnetworks.use,compute.subnetworks.useExternalIp,compute.zoneOperations.get
if missing iam roles describe bdwAutoscaler; then
  cloud iam roles create bdwAutoscaler --stage=GA --title="bdw autoscaler" --permissions=$permissions
else
  cloud iam roles update bdwAutoscaler --stage=GA --title="bdw autoscaler" --permissions=$permissions
fi
# A binding that is there already is left as it is.
cloud projects add-iam-policy-binding "$project" --member="serviceAccount:$head" --role="projects/$project/roles/bdwAutoscaler" --condition=None
cloud iam service-accounts add-iam-policy-binding "$worker" --member="serviceAccount:$head" --role=roles/iam.serviceAccountUser

if missing storage buckets describe "$bucket"; then
  cloud storage buckets create "$bucket" --location="$region" --uniform-bucket-level-access --public-access-prevention
fi
for account in "$head" "$worker"; do
  cloud storage buckets add-iam-policy-binding "$bucket" --member="serviceAccount:$account" --role=roles/storage.objectUser
  cloud storage buckets add-iam-policy-binding "$bucket" --member="serviceAccount:$account" --role=roles/storage.legacyBucketReader
done

cat <<END
REPLACE_ME_PROJECT         $project
REPLACE_ME_REGION          $region
REPLACE_ME_ZONE            $zone
REPLACE_ME_HEAD_ACCOUNT    $head
REPLACE_ME_WORKER_ACCOUNT  $worker
REPLACE_ME_SUBNETWORK      projects/$project/regions/$region/subnetworks/bdw
--storage-path             $bucket/sweeps
END
